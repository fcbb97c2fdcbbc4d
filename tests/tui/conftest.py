"""Pictures are kept as .svg files, which is what they are."""

from pytest_textual_snapshot import SVGImageExtension

# The plugin names these attributes as syrupy did before its version 5.
SVGImageExtension.file_extension = "svg"
