"""Recall of a running server, reached over its HTTP API, for commands and for MCP over stdio."""
