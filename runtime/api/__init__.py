"""The HTTP edge: routes, decoding, errors, streams."""
