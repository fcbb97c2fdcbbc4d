"""Recall and its policies: what one caller may reach."""
