"""Lar's runtime: the server process, its adapters and its core. See docs/structure.md."""
