"""Constrained decoding: bounded schemas, compiled grammars, the guide of a seq, the check of the result."""
