"""The console: a thin client of the server's HTTP API."""
