"""Pictures of text, where OCR is installed."""

from runtime.recall.parse.draft import Draft
from runtime.recall.parse.faults import Refused, unsupported
from runtime.recall.parse.ocr import picture_text
from runtime.recall.parse.source import Source
from runtime.recall.parts import Parsed

_INSTALL = "Its text can be read by OCR: install Tesseract (the program `tesseract`) and add it again."


def read(source: Source) -> Parsed:
    """Read the text in a picture."""
    if not source.tesseract:
        raise unsupported("a picture", _INSTALL)

    draft = Draft(source.limits)
    draft.add(picture_text(source.content(), source.tesseract))
    if draft.is_empty:
        raise Refused("no_text", "It is a picture, and OCR found no text in it.")
    return draft.parsed(source.media_type)
