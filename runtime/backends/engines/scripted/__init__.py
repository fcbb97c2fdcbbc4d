"""A deterministic engine without weights, for tests and for building on Lar."""
