"""The text arm: finds chunks by their words, on one Tantivy index per namespace."""
