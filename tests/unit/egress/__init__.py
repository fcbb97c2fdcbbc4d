"""Egress tests."""
