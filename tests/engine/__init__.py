"""Tests against the real engine and the real weights, which the test run installs itself."""
