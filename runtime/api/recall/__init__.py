"""Lar's own routes of recall, for its command line and its console."""
