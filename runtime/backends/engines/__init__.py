"""Engines: each runs inside a worker process and may import its inference library."""
