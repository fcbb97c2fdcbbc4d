"""Tests: unit mirrors the source, contract holds one suite per port, system uses real processes."""
