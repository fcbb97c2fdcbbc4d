"""Cedar: the only package that imports cedarpy. Reads policies, evaluates them, takes them apart."""
