"""Word documents: paragraphs, headings, lists, tables and notes in reading order.

The XML is walked here, with entities off: what stands in content controls, text boxes and tracked insertions
is text as any other, and documents with macros are read like those without. What was deleted is left out.
"""

import posixpath
import re
import zipfile
from collections.abc import Iterator
from typing import NamedTuple

from lxml import etree  # type: ignore[import-untyped]  # lxml ships no types

from runtime.recall.parse.draft import Draft, one_line
from runtime.recall.parse.faults import broken
from runtime.recall.parse.source import Source
from runtime.recall.parse.zips import open_container, parse_xml
from runtime.recall.parts import Parsed

_WHAT = "a Word document"
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_STRICT = "{http://purl.oclc.org/ooxml/wordprocessingml/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_TITLE = "{http://purl.org/dc/elements/1.1/}title"
_MAIN = re.compile(r"/officeDocument$")
_HEADING = re.compile(r"heading ([1-9])$", re.IGNORECASE)
_BREAKS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_DEPTH = 60
"""Tables inside controls inside tables: deeper ones are left out."""
_CELL_CHARACTERS = 100_000


class Styles(NamedTuple):
    """What the paragraph styles of a document mean."""

    levels: dict[str, int]
    """Outline level by style; 0 is the document's title."""
    lists: frozenset[str]


def read(source: Source) -> Parsed:
    """Read a Word document."""
    with open_container(source.path, _WHAT, source.limits) as container:
        try:
            return _read(container, source)
        except (etree.XMLSyntaxError, KeyError) as problem:
            raise broken(_WHAT, str(problem)) from problem


def _read(container: zipfile.ZipFile, source: Source) -> Parsed:
    main = _main_part(container)
    folder = posixpath.dirname(main)
    root = parse_xml(container.read(main))
    styles = _styles(_optional(container, f"{folder}/styles.xml"))
    body = next((each for each in root if _name(each) == "body"), None)
    if body is None:
        raise broken(_WHAT, "its main part has no body")

    draft = Draft(source.limits)
    core = _optional(container, "docProps/core.xml")
    draft.title = (core.findtext(_TITLE) or "") if core is not None else ""
    for block in _blocks(body, 0):
        _add(block, draft, styles)
    for notes in ("footnotes", "endnotes"):
        _add_notes(_optional(container, f"{folder}/{notes}.xml"), draft)
    return draft.parsed(source.media_type)


def _main_part(container: zipfile.ZipFile) -> str:
    """Return the member that holds the text, as the container's relations name it."""
    for relation in parse_xml(container.read("_rels/.rels")):
        if _MAIN.search(relation.get("Type") or ""):
            return posixpath.normpath((relation.get("Target") or "").lstrip("/"))
    return "word/document.xml"


def _optional(container: zipfile.ZipFile, member: str) -> etree._Element | None:
    try:
        return parse_xml(container.read(member))
    except (
        KeyError,
        etree.XMLSyntaxError,
    ):  # a document without it, or with a damaged one, has its text still
        return None


def _name(element: etree._Element) -> str:
    """Return the local name of an element of Word's, empty for others."""
    tag = element.tag
    if not isinstance(tag, str):
        return ""
    return tag.rpartition("}")[2] if tag.startswith((_W, _STRICT)) else ""


def _value(element: etree._Element | None) -> str:
    """Return the attribute `val`."""
    if element is None:
        return ""
    return next((value for key, value in element.attrib.items() if key.endswith("}val")), "")


def _child(element: etree._Element | None, name: str) -> etree._Element | None:
    return None if element is None else next((each for each in element if _name(each) == name), None)


def _styles(styles: etree._Element | None) -> Styles:
    """Return what styles mean: by their built-in name, which no translation changes, or by what they set."""
    found: dict[str, int] = {}
    lists: set[str] = set()
    for style in styles if styles is not None else ():
        name = _value(_child(style, "name"))
        heading = _HEADING.match(name)
        outline = _value(_child(_child(style, "pPr"), "outlineLvl"))
        identity = next((value for key, value in style.attrib.items() if key.endswith("}styleId")), "")
        if name.startswith("List ") or _child(_child(style, "pPr"), "numPr") is not None:
            lists.add(identity)
        if name.lower() == "title":
            found[identity] = 0
        elif heading:
            found[identity] = int(heading.group(1))
        elif outline.isdigit() and int(outline) < 9:
            found[identity] = int(outline) + 1
    return Styles(found, frozenset(lists))


def _blocks(container: etree._Element, depth: int) -> Iterator[etree._Element]:
    """Yield paragraphs and tables in order, through controls and insertions."""
    for element in container:
        name = _name(element)
        if name in ("p", "tbl"):
            yield element
        elif name in ("sdt", "sdtContent", "ins", "moveTo", "customXml", "smartTag") and depth < _DEPTH:
            yield from _blocks(element, depth + 1)


def _add(block: etree._Element, draft: Draft, styles: Styles) -> None:
    if _name(block) == "tbl":
        for number, row in enumerate(_rows(block, 0)):
            draft.add(row, "\n" if number else "\n\n")
        return

    text = _text(block)
    properties = _child(block, "pPr")
    style = _value(_child(properties, "pStyle"))
    level = styles.levels.get(style)
    outline = _value(_child(properties, "outlineLvl"))
    if level is None and outline.isdigit() and int(outline) < 9:
        level = int(outline) + 1
    if level == 0:
        draft.title = draft.title or one_line(text)
        draft.add(text)
    elif level is not None:
        draft.heading(level, text)
    elif style in styles.lists or _child(properties, "numPr") is not None:
        draft.add(f"- {text.strip()}" if text.strip() else "", "\n")
    else:
        draft.add(text)


def _text(element: etree._Element) -> str:
    """Return the text inside an element, without what was deleted or stands there twice."""
    parts: list[str] = []
    skipped: etree._Element | None = None
    for event, each in etree.iterwalk(element, events=("start", "end")):
        name = _name(each)
        if event == "end":
            if each is skipped:
                skipped = None
            elif name == "p" and each is not element:
                parts.append("\n")
        elif skipped is None:
            if each.tag == _FALLBACK or name in ("del", "moveFrom", "instrText"):
                skipped = each
            elif name == "t":
                parts.append(each.text or "")
            else:
                parts.append(_BREAKS.get(name, ""))
    return "".join(parts)


def _rows(table: etree._Element, depth: int) -> Iterator[str]:
    """Yield the rows of a table, cells apart by bars; a table inside a cell is part of the cell."""
    for row in table:
        if _name(row) in ("sdt", "sdtContent", "ins") and depth < _DEPTH:
            yield from _rows(row, depth + 1)
        elif _name(row) == "tr":
            cells = [one_line(_text(cell), _CELL_CHARACTERS) for cell in row.iter() if _is_cell_of(cell, row)]
            if any(cells):
                yield " | ".join(cells)


def _is_cell_of(element: etree._Element, row: etree._Element) -> bool:
    if _name(element) != "tc":
        return False
    around = element.getparent()
    while around is not None and _name(around) != "tr":
        around = around.getparent()
    return around is row


def _add_notes(notes: etree._Element | None, draft: Draft) -> None:
    """Add footnotes or endnotes; those that only draw a line have no text."""
    for note in notes if notes is not None else ():
        draft.add(one_line(_text(note), _CELL_CHARACTERS))
