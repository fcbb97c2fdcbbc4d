"""What MCP's conformance suite needs on this side: a fixture behind our doors, a client, and a runner."""
