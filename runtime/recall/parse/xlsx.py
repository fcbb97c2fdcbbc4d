"""Excel workbooks: a section for each sheet, a line for each row, formulas by the values last saved."""

import datetime as dt
import zipfile
from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import ParseError

from lxml import etree  # type: ignore[import-untyped]  # lxml ships no types
from openpyxl import load_workbook  # type: ignore[import-untyped]  # openpyxl ships no types
from openpyxl.utils.exceptions import InvalidFileException  # type: ignore[import-untyped]  # the same

from runtime.recall.parse.draft import Draft
from runtime.recall.parse.faults import broken
from runtime.recall.parse.source import Source
from runtime.recall.parse.tables import Rows
from runtime.recall.parse.zips import open_container
from runtime.recall.parts import Parsed

_WHAT = "an Excel workbook"
_BLANK_ROWS = 10_000
"""So many empty rows in a row are the end of a sheet: some programs save a million of them."""


def read(source: Source) -> Parsed:
    """Read a workbook."""
    with open_container(source.path, _WHAT, source.limits):
        pass
    try:
        return _read(source)
    except (etree.XMLSyntaxError, ParseError, InvalidFileException, zipfile.BadZipFile) as problem:
        raise broken(_WHAT, str(problem)) from problem
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as problem:
        # What the library raises where parts that belong together do not.
        raise broken(_WHAT, f"{type(problem).__name__}: {problem}") from problem


def _read(source: Source) -> Parsed:
    with source.path.open("rb") as file:  # a path would be judged by its name
        book = load_workbook(file, read_only=True, data_only=True, keep_links=False)
        draft = Draft(source.limits)
        draft.title = book.properties.title or ""
        rows = Rows(draft, source.limits)
        for sheet in book.worksheets:
            draft.heading(1, sheet.title)
            sheet.reset_dimensions()  # what a sheet says of its size is often wrong, and may be a trap
            rows.add(_rows(sheet))
        book.close()
    return draft.parsed(source.media_type, keeps_lines=True)


def _rows(sheet: Any) -> Iterator[list[str]]:
    blank = 0
    for row in sheet.iter_rows(values_only=True):
        values = [_text(each) for each in row]
        blank = 0 if any(values) else blank + 1
        if blank > _BLANK_ROWS:
            return
        yield values


def _text(value: object) -> str:
    """Return a cell's value as people write it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, dt.datetime):
        is_day = value.time() == dt.time(0)
        return value.date().isoformat() if is_day else value.isoformat(sep=" ", timespec="minutes")
    return str(value)
