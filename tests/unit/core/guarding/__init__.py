"""Tests of guarding."""
