"""PowerPoint presentations: a section for each slide, with its tables and its speaker's notes."""

import zipfile
from collections.abc import Iterable, Iterator
from typing import Any

from lxml import etree  # type: ignore[import-untyped]  # lxml ships no types
from pptx import Presentation
from pptx.exc import PackageNotFoundError, PythonPptxError

from runtime.recall.parse.draft import Draft, one_line
from runtime.recall.parse.faults import broken
from runtime.recall.parse.source import Source
from runtime.recall.parse.zips import open_container
from runtime.recall.parts import Parsed

_WHAT = "a PowerPoint presentation"
_DEPTH = 20
"""Groups inside groups: deeper ones are left out."""
_CELL_CHARACTERS = 100_000


def read(source: Source) -> Parsed:
    """Read a presentation."""
    with open_container(source.path, _WHAT, source.limits):
        pass
    try:
        return _read(source)
    except (PythonPptxError, PackageNotFoundError, etree.XMLSyntaxError, zipfile.BadZipFile) as problem:
        raise broken(_WHAT, str(problem)) from problem
    except (KeyError, ValueError, AttributeError, IndexError, TypeError) as problem:
        # What the library raises where parts that belong together do not.
        raise broken(_WHAT, f"{type(problem).__name__}: {problem}") from problem


def _read(source: Source) -> Parsed:
    presentation = Presentation(str(source.path))
    draft = Draft(source.limits)
    draft.title = presentation.core_properties.title or ""
    for number, slide in enumerate(presentation.slides, start=1):
        title = slide.shapes.title
        name = one_line(title.text_frame.text) if title is not None else ""
        draft.heading(1, f"Slide {number}: {name}" if name else f"Slide {number}", is_shown=False)
        draft.add(name)
        draft.title = draft.title or name
        for shape in _flat(slide.shapes, 0):
            if title is None or shape.shape_id != title.shape_id:
                _add(shape, draft)
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
            notes = slide.notes_slide.notes_text_frame.text.strip()
            draft.add(f"Notes: {notes}" if notes else "")
    return draft.parsed(source.media_type)


def _flat(shapes: Iterable[Any], depth: int) -> Iterator[Any]:
    """Yield shapes in their order, those of groups in place of the groups."""
    for shape in shapes:
        if hasattr(shape, "shapes"):
            if depth < _DEPTH:
                yield from _flat(shape.shapes, depth + 1)
        else:
            yield shape


def _add(shape: Any, draft: Draft) -> None:
    if getattr(shape, "has_table", False):
        for number, row in enumerate(shape.table.rows):
            cells = [one_line(cell.text, _CELL_CHARACTERS) for cell in row.cells if not cell.is_spanned]
            draft.add(" | ".join(cells) if any(cells) else "", "\n" if number else "\n\n")
    elif getattr(shape, "has_text_frame", False):
        draft.add(shape.text_frame.text)
