"""Agents and their runs over HTTP, in Lar's own words."""
