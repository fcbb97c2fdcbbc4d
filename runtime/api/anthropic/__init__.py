"""Anthropic's Messages API over the core's chat: bodies in, content blocks and their events out."""
