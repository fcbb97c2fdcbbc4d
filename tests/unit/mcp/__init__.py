"""Mcp tests."""
