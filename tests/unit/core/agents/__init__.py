"""Tests of durable runs: their fold, their machine, their laws."""
