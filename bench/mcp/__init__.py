"""What the hub costs over the SDK alone."""
