"""Agents: the words of durable runs, their machine, and the shell that lets them live."""
