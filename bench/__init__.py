"""Benchmarks, each against its peer."""
