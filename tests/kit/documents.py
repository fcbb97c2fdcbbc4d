"""Small real documents of every format, made by the libraries that write them, or by hand where none does."""

import csv
import io
import json
import struct
import wave
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from email.message import EmailMessage

from docx import Document
from openpyxl import Workbook  # type: ignore[import-untyped]  # openpyxl ships no types
from pptx import Presentation
from pptx.util import Inches

MARKDOWN = """---
title: "The lighthouse"
---
Before any heading.

# History

It was built in 1868.

## The keeper

Ada kept the light.

```python
# not a heading
```

Ships
-----

They passed at night.
"""

HTML = """<!doctype html><html><head><title>Tea - a site</title><script>var hidden = 1;</script></head><body>
<nav><a href="/">Home</a> <a href="/about">About us</a></nav>
<article><h1>How to make tea</h1>
<p>Boil fresh water and warm the pot with a little of it. Put in one spoon of leaves for each cup and one more
for the pot. Pour on the water while it still boils, so that the leaves unfold.</p>
<h2>Steeping</h2>
<p>Wait for four minutes if the tea is black, and for two minutes if it is green. Longer steeping makes it
bitter and shorter steeping leaves it thin. Stir once before pouring, and use a strainer.</p>
<table><tr><th>Tea</th><th>Minutes</th></tr><tr><td>Assam</td><td>4</td></tr></table>
<ul><li>A pot</li><li>A strainer</li></ul></article>
<footer>Copyright by nobody</footer></body></html>
"""

PYTHON = '''"""A module."""

import os


# Says where home is.
def home() -> str:
    """Return it: größe."""
    return os.environ["HOME"]


class Shelf:
    """Holds books."""

    size = 3

    @property
    def is_full(self) -> bool:
        return self.size > 2

    def clear(self) -> None:
        self.size = 0


print(home())
'''


def docx(title: str = "The harbour") -> bytes:
    """Return a Word document with headings, a list and a table."""
    document = Document()
    document.core_properties.title = title
    document.add_heading("Harbour", level=1)
    document.add_paragraph("Boats lie at the quay.")
    document.add_heading("Cranes", level=2)
    document.add_paragraph("They lift crates.")
    document.add_paragraph("Rope", style="List Bullet")
    table = document.add_table(rows=2, cols=2)
    for row, texts in zip(table.rows, (("Boat", "Length"), ("Swift", "12 m")), strict=True):
        for cell, text in zip(row.cells, texts, strict=True):
            cell.text = text
    document.add_paragraph("After the table.")
    return _saved(document)


def pptx() -> bytes:
    """Return a presentation of two slides, a table and notes."""
    deck = Presentation()
    for title, body in (("Wind", "It blows from the west."), ("Rain", "It falls on the plain.")):
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        assert slide.shapes.title is not None
        slide.shapes.title.text = title
        slide.placeholders[1].text_frame.text = body
    table = deck.slides[1].shapes.add_table(2, 2, Inches(1), Inches(1), Inches(4), Inches(1)).table
    for row, texts in enumerate((("Month", "Rain"), ("May", "70 mm"))):
        for column, text in enumerate(texts):
            table.cell(row, column).text = text
    notes = deck.slides[0].notes_slide.notes_text_frame
    assert notes is not None
    notes.text = "Say it loudly."
    return _saved(deck)


def xlsx(rows: Sequence[Sequence[object]] | None = None) -> bytes:
    """Return a workbook of two sheets."""
    book = Workbook()
    first = book.active
    first.title = "People"
    for row in rows or (("Name", "Born", "Town"), ("Ada", 1815, "London"), ("Alan", 1912, None)):
        first.append(row)
    second = book.create_sheet("Prices")
    second.append(("Thing", "Price"))
    second.append(("Bread", 2.5))
    return _saved(book)


def table(rows: Sequence[Sequence[object]], delimiter: str = ",") -> bytes:
    """Return rows as csv."""
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows(rows)
    return out.getvalue().encode()


def pdf(
    pages: Sequence[str], *, title: str = "", outline: Sequence[tuple[str, int]] = (), encrypt: bool = False
) -> bytes:
    """Return a PDF; a page without text has a grey square, as a scan would have a picture."""
    objects: list[bytes] = [b"", b"", b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids: list[int] = []
    for text in pages:
        stream = _page_stream(text)
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % len(objects)
        )
        kids.append(len(objects))
    objects[1] = b"<< /Type /Pages /Count %d /Kids [%s] >>" % (
        len(kids),
        b" ".join(b"%d 0 R" % kid for kid in kids),
    )
    catalog = b"<< /Type /Catalog /Pages 2 0 R"
    if outline:
        first = len(objects) + 2
        last = first + len(outline) - 1
        objects.append(
            b"<< /Type /Outlines /First %d 0 R /Last %d 0 R /Count %d >>" % (first, last, len(outline))
        )
        catalog += b" /Outlines %d 0 R" % len(objects)
        for number, (name, page) in enumerate(outline):
            after = b" /Next %d 0 R" % (first + number + 1) if number < len(outline) - 1 else b""
            before = b" /Prev %d 0 R" % (first + number - 1) if number else b""
            objects.append(
                b"<< /Title (%s) /Parent %d 0 R /Dest [%d 0 R /Fit]%s%s >>"
                % (name.encode(), first - 1, kids[page], after, before)
            )
    objects[0] = catalog + b" >>"
    trailer = b""
    if title:
        objects.append(b"<< /Title (%s) >>" % title.encode())
        trailer += b" /Info %d 0 R" % len(objects)
    if encrypt:
        objects.append(b"<< /Filter /Standard /V 1 /R 2 /P -4 /O <%s> /U <%s> >>" % (b"41" * 32, b"42" * 32))
        trailer += b" /Encrypt %d 0 R /ID [<%s> <%s>]" % (len(objects), b"00" * 16, b"00" * 16)
    return _assembled(objects, trailer)


def _page_stream(text: str) -> bytes:
    if not text:
        return b"0.5 g 100 100 200 200 re f"
    lines = text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)").split("\n")
    shown = b" T* ".join(b"(%s) Tj" % line.encode("latin-1") for line in lines)
    return b"BT /F1 12 Tf 14 TL 72 720 Td " + shown + b" ET"


def _assembled(objects: Sequence[bytes], trailer: bytes) -> bytes:
    out = bytearray(b"%PDF-1.4\n")
    offsets: list[int] = []
    for number, each in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d /Root 1 0 R%s >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1,
        trailer,
        start,
    )
    return bytes(out)


def epub(chapters: Sequence[str] = (), *, extra: Mapping[str, str] | None = None) -> bytes:
    """Return an e-book of chapters in XHTML."""
    bodies = chapters or (
        "<h1>One</h1><p>It began at sea.</p>",
        "<p>No heading here.</p>",
    )
    items = "".join(
        f'<item id="c{number}" href="text/c%20{number}.xhtml" media-type="application/xhtml+xml"/>'
        for number in range(len(bodies))
    )
    spine = "".join(f'<itemref idref="c{number}"/>' for number in range(len(bodies)))
    members = {
        "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
        '<rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></container>',
        "OEBPS/book.opf": '<package xmlns="http://www.idpf.org/2007/opf" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/">'
        "<metadata><dc:title>Sea tales</dc:title><dc:language>en-GB</dc:language></metadata>"
        f"<manifest>{items}</manifest><spine>{spine}</spine></package>",
        **{
            f"OEBPS/text/c {number}.xhtml": '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml">'
            f"<head><title>Part {number}</title></head><body>{body}</body></html>"
            for number, body in enumerate(bodies)
        },
        **(extra or {}),
    }
    return archive({"mimetype": "application/epub+zip", **members})


def eml() -> bytes:
    """Return an e-mail with two bodies, an attachment and a forwarded mail."""
    inner = EmailMessage()
    inner["Subject"], inner["From"] = "Older news", "carol@example.org"
    inner.set_content("The older words.")
    mail = EmailMessage()
    mail["From"], mail["To"] = "Ada <ada@example.org>", "bob@example.org"
    mail["Subject"], mail["Date"] = "Résumé of the week", "Mon, 02 Nov 2026 10:00:00 +0000"
    mail.set_content("The words of the mail.\n")
    mail.add_alternative("<p>The <b>words</b> in HTML.</p>", subtype="html")
    mail.add_attachment(b"\x00\x01", maintype="application", subtype="pdf", filename="report.pdf")
    mail.add_attachment(inner)
    return mail.as_bytes()


def archive(members: Mapping[str, str | bytes]) -> bytes:
    """Return a zip archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as container:
        for name, content in members.items():
            container.writestr(name, content)
    return out.getvalue()


def changed(container: bytes, members: Mapping[str, str | bytes | None]) -> bytes:
    """Return an archive with other contents of some members; None: without it."""
    with zipfile.ZipFile(io.BytesIO(container)) as before:
        kept: dict[str, str | bytes] = {name: before.read(name) for name in before.namelist()}
    for name, content in members.items():
        if content is None:
            kept.pop(name)
        else:
            kept[name] = content
    return archive(kept)


def member(container: bytes, name: str) -> str:
    """Return a member of an archive as text."""
    with zipfile.ZipFile(io.BytesIO(container)) as opened:
        return opened.read(name).decode()


def locked(container: bytes) -> bytes:
    """Return an archive whose members claim to be encrypted."""
    out = bytearray(container)
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = out.find(magic)
        while at >= 0:
            out[at + offset] |= 1
            at = out.find(magic, at + 4)
    return bytes(out)


def sound() -> bytes:
    """Return a tenth of a second of silence as WAV."""
    out = io.BytesIO()
    with wave.open(out, "wb") as recording:
        recording.setparams((1, 2, 8000, 0, "NONE", ""))
        recording.writeframes(b"\x00\x00" * 800)
    return out.getvalue()


def picture() -> bytes:
    """Return a white PNG of 8 by 8."""
    rows = zlib.compress(b"".join(b"\x00" + b"\xff" * 8 for _ in range(8)))

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _saved(made: object) -> bytes:
    out = io.BytesIO()
    made.save(out)  # type: ignore[attr-defined]  # documents of three libraries, all of which can
    return out.getvalue()


EVERY: dict[str, bytes] = {
    "a.txt": b"Plain words, enough of them to be told as English by whoever reads.\n",
    "a.md": MARKDOWN.encode(),
    "a.html": HTML.encode(),
    "a.pdf": pdf(["The first page tells of the sea.", "The second one of the land."]),
    "a.docx": docx(),
    "a.pptx": pptx(),
    "a.xlsx": xlsx(),
    "a.csv": table((("Name", "Born"), ("Ada", 1815))),
    "a.json": json.dumps({"title": "Map", "places": [{"name": "Rio", "size": 6}]}).encode(),
    "a.jsonl": b'{"a": 1}\n{"a": 2}\n',
    "a.epub": epub(),
    "a.eml": eml(),
    "a.py": PYTHON.encode(),
}
"""One document of each format that is read."""
