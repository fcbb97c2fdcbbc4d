"""Manifests of the engines and models that Lar knows by name (data, read through `catalog.manifests`)."""
