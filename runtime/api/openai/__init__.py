"""The OpenAI wire format over the core's words."""
