"""Tool calls and shaped answers in whatever way a model's chat template writes them."""
