"""Tests of the Ollama API."""
