"""The only package that imports the MCP SDK: links to tool servers, and Lar's own servers."""
