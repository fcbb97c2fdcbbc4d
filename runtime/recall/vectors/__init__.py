"""Vectors of the namespaces, searched in memory: exactly, and beyond a million of them by cells first."""
