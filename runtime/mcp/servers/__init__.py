"""The internal MCP servers: each offers one part of Lar as tools and resources."""
