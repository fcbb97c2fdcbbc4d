"""Inference under the loads of agents: Lar beside llama-server, on the same weights and threads."""
