"""Backends tests."""
