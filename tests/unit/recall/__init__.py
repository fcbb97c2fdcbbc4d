"""Recall tests."""
