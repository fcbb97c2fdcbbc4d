"""What agents remember: items on top of Recall's truth, with their links, their history and their use."""
