"""Tui tests."""
