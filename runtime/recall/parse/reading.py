"""Reads one document, whatever it is: finds out its kind, hands it to that kind's reader, tells the language.

Runs in a child. The reader of a kind is imported with its first document: a child that reads text need not
carry the libraries of PDF.
"""

import importlib
import traceback
from collections.abc import Callable
from email.message import Message
from pathlib import Path

from runtime.core.knowledge import DocumentFault
from runtime.recall.chunk import cut
from runtime.recall.parse.detect import Detected, detect
from runtime.recall.parse.faults import Refused, broken
from runtime.recall.parse.kinds import NAMES, Kind
from runtime.recall.parse.source import Source
from runtime.recall.parse.wire import Answer, Request
from runtime.recall.parts import Parsed

_PACKAGE = "runtime.recall.parse"
_READERS: dict[Kind, tuple[str, str]] = {
    "text": ("plain", "read"),
    "lines": ("plain", "read_lines"),
    "markdown": ("markdown", "read"),
    "html": ("html", "read"),
    "pdf": ("pdf", "read"),
    "docx": ("docx", "read"),
    "pptx": ("pptx", "read"),
    "xlsx": ("xlsx", "read"),
    "csv": ("csv", "read"),
    "json": ("json", "read"),
    "jsonl": ("json", "read_lines"),
    "epub": ("epub", "read"),
    "eml": ("eml", "read"),
    "code": ("code", "read"),
    "image": ("picture", "read"),
}
_WITHOUT_LANGUAGE: frozenset[Kind] = frozenset({"code", "lines"})
"""What they say is said in words that no language has."""


def answer_to(request: Request) -> Answer:
    """Read a document, and cut it if that is asked for. Whatever is wrong with it is a value."""
    path = Path(request.path)
    try:
        path.open("rb").close()
    except OSError as problem:
        message = (
            f"The file cannot be read ({problem.strerror}). Add it again, or check its disk and permissions."
        )
        return Answer(fault=DocumentFault(code="not_found", message=message))

    what = "a document"
    try:
        media_type, charset = _media_type(request.media_type)
        detected = detect(path, request.name, media_type, request.limits)
        if detected.kind == "audio":
            return Answer(recording=detected.media_type)

        what = NAMES[detected.kind]
        source = Source(path, request.name, detected.media_type, charset, request.limits, request.tesseract)
        return _cut(_finished(_reader(detected.kind)(source), detected), request)
    except Refused as refusal:
        return Answer(fault=refusal.fault)
    except MemoryError:
        return Answer(fault=out_of_memory(request.limits.memory_bytes), is_last=True)
    except Exception as problem:  # noqa: BLE001 - border: format libraries raise anything on damaged documents
        fault = broken(what, f"{type(problem).__name__}: {problem}").fault
        return Answer(fault=fault, trace=traceback.format_exc())


def _cut(parsed: Parsed, request: Request) -> Answer:
    if request.chunking is None:
        return Answer(parsed=parsed)
    pieces = [(each.start, each.end, each.heading) for each in cut(parsed, request.chunking)]
    return Answer(parsed=parsed, pieces=pieces)


def _reader(kind: Kind) -> Callable[[Source], Parsed]:
    module, function = _READERS[kind]
    found: Callable[[Source], Parsed] = getattr(importlib.import_module(f"{_PACKAGE}.{module}"), function)
    return found


def _finished(parsed: Parsed, detected: Detected) -> Parsed:
    """Return what was read with its language and the notes on its kind. Raises Refused without a text."""
    if not parsed.text.strip():
        why = " ".join(parsed.notes)
        raise Refused("no_text", f"It is {NAMES[detected.kind]} without any text. {why}".rstrip())

    notes = (detected.note, *parsed.notes) if detected.note else parsed.notes
    language = parsed.language
    if detected.kind not in _WITHOUT_LANGUAGE:
        module = importlib.import_module(f"{_PACKAGE}.language")
        language = module.language_of(parsed.text) or language
    return parsed._replace(notes=notes, language=language if len(language) == 2 else "")


def _media_type(told: str) -> tuple[str, str]:
    """Return a media type without its parameters, and its charset."""
    header = Message()
    header["Content-Type"] = told or "application/octet-stream"
    charset = header.get_param("charset")
    return told.partition(";")[0].strip().lower(), charset if isinstance(charset, str) else ""


def out_of_memory(limit_bytes: int) -> DocumentFault:
    """Return the fault of a document that needs more memory than one may have."""
    return DocumentFault(
        code="too_large",
        message=f"Reading it takes more than {limit_bytes >> 20:,} MiB of memory. Split it, add its parts.",
    )
