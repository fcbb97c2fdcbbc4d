"""Tests of the llama engine's pure parts."""
