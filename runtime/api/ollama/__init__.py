"""Ollama's API under /api, translated to the core's requests and back."""
