"""Policies and approvals over HTTP: /api/policies and /api/approvals."""
