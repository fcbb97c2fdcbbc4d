"""Tools that only runs have: searches over collections and the web, programs, notes of a team."""
