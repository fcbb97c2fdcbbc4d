"""What a document is: by its content first, then by what was said of it, then by its name."""

import mmap
import re
import zipfile
from pathlib import Path
from typing import NamedTuple

from runtime.recall.parse.decode import glance, looks_like_text
from runtime.recall.parse.faults import Refused, broken, empty, encrypted, too_large, unsupported
from runtime.recall.parse.kinds import BY_MEDIA_TYPE, MEDIA_TYPES, NAMES, SUFFIXES, TEXTUAL, Kind
from runtime.recall.parse.limits import MIB, Limits

_HEAD_BYTES = 64 * 1024
_PDF_WITHIN = 1024
"""Readers of PDF accept so much noise before its beginning."""

_AUDIO = (
    (b"ID3\x02", "audio/mpeg"),
    (b"ID3\x03", "audio/mpeg"),
    (b"ID3\x04", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"\xff\xf2", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"OggS\x00", "audio/ogg"),
)
_IMAGES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
)
_SAVE_AS = "Save it as docx, xlsx, pptx or PDF and add that."
_UNPACK = "Unpack it and add the files that it holds."
_STRANGE = (
    (b"{\\rtf", "a rich text document (RTF)", "Save it as docx or PDF and add that."),
    (b"\x1f\x8b", "packed by gzip", _UNPACK),
    (b"BZh", "packed by bzip2", _UNPACK),
    (b"\xfd7zXZ\x00", "packed by xz", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "packed by zstd", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"\x7fELF", "a program", "Add its documentation or source code instead."),
    (b"MZ", "a program", "Add its documentation or source code instead."),
    (b"SQLite format 3\x00", "a SQLite database", "Export its tables as csv and add those."),
    (b"GIF8", "a moving picture", "Describe it in a text and add that."),
    (b"\x1aE\xdf\xa3", "a video", "Extract its sound or its subtitles and add those."),
)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ZIPS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_OFFICE: tuple[tuple[str, Kind], ...] = (
    ("word/", "docx"),
    ("ppt/", "pptx"),
    ("xl/", "xlsx"),
)
_HTML = re.compile(
    r"\s*(?:<\?xml[^>]*\?>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)[\s>]",
    re.IGNORECASE | re.DOTALL,
)
_MAIL_HEADER = re.compile(r"(?:[A-Za-z][A-Za-z0-9-]*:[^\n]*(?:\n[ \t][^\n]*)*\n)+")
_MAIL_NAMES = re.compile(
    r"^(from|to|subject|date|received|return-path|delivered-to|message-id|mime-version):",
    re.IGNORECASE | re.MULTILINE,
)
_MAIL_HEADERS_NEEDED = 3


class Detected(NamedTuple):
    """What a document is, and a note where its name says otherwise."""

    kind: Kind
    media_type: str
    note: str = ""


def detect(path: Path, name: str, media_type: str, limits: Limits) -> Detected:
    """Return what a document is. Raises Refused for what Lar does not read, is empty or too large."""
    size = path.stat().st_size
    if size == 0:
        raise empty()
    if size > limits.size_bytes:
        raise too_large(f"The file has {size / MIB:,.1f} MiB", f"{limits.size_bytes // MIB:,} MiB")

    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    named = SUFFIXES.get(Path(name.replace("\\", "/")).suffix.lower())
    said = BY_MEDIA_TYPE.get(media_type)
    found = _by_magic(path, head)
    if found is None:
        _refuse_unless_text(head)
        found = _textual(glance(head), said, named)
    kind, exact = found
    note = ""
    if named is not None and kind != named and not (kind in TEXTUAL and said == kind):
        note = f"Its name stands for {NAMES[named]}, but it is {NAMES[kind]}: read as that."
    return Detected(kind, exact or MEDIA_TYPES.get(kind, "text/plain"), note)


def _by_magic(path: Path, head: bytes) -> tuple[Kind, str] | None:
    """Return the kind of a file that is not text, None where it may be text."""
    if head.startswith(_ZIPS):
        return _container(path), ""
    if head.startswith(_OLE):
        raise _old_office(path)
    if b"%PDF-" in head[:_PDF_WITHIN]:
        return "pdf", ""
    for magic, media_type in _AUDIO:
        if head.startswith(magic):
            return "audio", media_type
    for magic, media_type in _IMAGES:
        if head.startswith(magic):
            return "image", media_type
    return _boxed(head)


def _boxed(head: bytes) -> tuple[Kind, str] | None:
    """Return the kind of a RIFF or MP4 file."""
    form = head[8:12]
    if head.startswith(b"RIFF"):
        if form == b"WAVE":
            return "audio", "audio/wav"
        if form == b"WEBP":
            return "image", "image/webp"
        raise unsupported("a video", "Extract its sound or its subtitles and add those.")
    if head[4:8] == b"ftyp":
        if form.startswith((b"M4A", b"M4B")):
            return "audio", "audio/mp4"
        raise unsupported("a video or a picture (MP4)", "Extract its sound or its subtitles and add those.")
    return None


def _refuse_unless_text(head: bytes) -> None:
    for magic, what, fix in _STRANGE:
        if head.startswith(magic) and (len(magic) > 3 or not looks_like_text(head)):
            raise unsupported(what, fix)
    if not looks_like_text(head):
        raise unsupported("neither text nor a known kind of document", f"{_SAVE_AS}")


def _container(path: Path) -> Kind:
    """Return what a zip archive holds."""
    try:
        with zipfile.ZipFile(path) as container:
            names = set(container.namelist())
            mimetype = container.read("mimetype")[:100].strip() if _is_small(container, "mimetype") else b""
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError, RuntimeError) as problem:
        raise broken("a zip archive such as docx or epub", str(problem)) from problem

    for folder, kind in _OFFICE:
        if "[Content_Types].xml" in names and any(each.startswith(folder) for each in names):
            return kind
    if mimetype == b"application/epub+zip" or "META-INF/container.xml" in names:
        return "epub"
    if mimetype.startswith(b"application/vnd.oasis.opendocument"):
        raise unsupported("an OpenDocument file", _SAVE_AS)
    if not names:
        raise empty()
    raise unsupported("a zip archive", _UNPACK)


def _is_small(container: zipfile.ZipFile, member: str) -> bool:
    try:
        return container.getinfo(member).file_size < 1000
    except KeyError:
        return False


def _old_office(path: Path) -> Refused:
    """Return why a file in Microsoft's old container is refused: with a password, or too old."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.find("EncryptedPackage".encode("utf-16-le")) >= 0:
            return encrypted("an Office document")
    return unsupported(
        "an Office document of the time before 2007 (doc, xls, ppt) or a mail of Outlook", _SAVE_AS
    )


def _textual(head: str, said: Kind | None, named: Kind | None) -> tuple[Kind, str]:
    """Return the kind of a text: unmistakable beginnings first, then what was said, then the name."""
    hint = said if said in TEXTUAL else named if named in TEXTUAL else None
    if hint in ("code", "lines", "markdown"):
        return hint, ""
    if _HTML.match(head):
        return "html", ""
    if _is_mail(head):
        return "eml", ""
    if hint in ("html", "eml", "csv", "json", "jsonl"):
        return hint, ""
    if hint == "text":
        return "text", ""
    return ("json" if head.lstrip()[:1] in ("{", "[") else "text"), ""


def _is_mail(head: str) -> bool:
    header = _MAIL_HEADER.match(head.replace("\r\n", "\n"))
    if header is None:
        return False

    names = {each.lower() for each in _MAIL_NAMES.findall(header.group())}
    return "from" in names and len(names) >= _MAIL_HEADERS_NEEDED
