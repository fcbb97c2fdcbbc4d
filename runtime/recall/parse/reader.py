"""The door to reading: hands documents to child processes and takes what comes of it, one way or another.

A document that hangs, eats memory or crashes its libraries costs one child, never the server and never the
next document. Children are reused, end by themselves when idle, and die with the server.
"""

import logging
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import anyio
import anyio.to_thread

from runtime.core.knowledge import Chunking, DocumentFault
from runtime.recall.chunk import Piece, cut
from runtime.recall.parse.draft import Draft
from runtime.recall.parse.limits import Limits
from runtime.recall.parse.process import ChildDied, ReadingChild, start_child
from runtime.recall.parse.wire import EXIT_MEMORY, Answer, Request
from runtime.recall.parts import Parsed

logger = logging.getLogger(__name__)

_NO_SPEECH = "It is an audio recording, and this Lar has no speech model. Add its text instead."


class Transcript(NamedTuple):
    """What is said in a recording."""

    text: str
    language: str = ""
    """ISO 639-1 code, empty where it is not known."""


Transcribe = Callable[[Path, str], Awaitable[Transcript | DocumentFault]]
"""Writes down a recording: its path and its media type. Bounds its own time, which may be an hour."""


class Reading(NamedTuple):
    """A document that was read and cut."""

    parsed: Parsed
    pieces: tuple[Piece, ...]


class Reader:
    """Reads documents in children; made by `open_reader`."""

    def __init__(self, count: int, tesseract: str, transcribe: Transcribe | None) -> None:
        self._slots = anyio.CapacityLimiter(count)
        self._idle: list[ReadingChild] = []
        self._tesseract = tesseract
        self._transcribe = transcribe

    @property
    def has_ocr(self) -> bool:
        """Whether scanned pages can be read."""
        return bool(self._tesseract)

    async def read(
        self, path: Path, name: str, media_type: str | None = None, limits: Limits | None = None
    ) -> Parsed | DocumentFault:
        """Read a document; waits while all children are busy. Cancelling ends the child."""
        reading = await self._read(path, name, media_type, limits, None)
        return reading.parsed if isinstance(reading, Reading) else reading

    async def read_and_cut(
        self, path: Path, name: str, media_type: str | None, limits: Limits | None, chunking: Chunking
    ) -> Reading | DocumentFault:
        """Read a document and cut it, both in the child: cutting a long text takes seconds, too."""
        return await self._read(path, name, media_type, limits, chunking)

    async def aclose(self) -> None:
        """End all idle children; busy ones end with the tasks that wait for them."""
        while self._idle:
            await self._idle.pop().end()

    async def _read(
        self, path: Path, name: str, media_type: str | None, limits: Limits | None, chunking: Chunking | None
    ) -> Reading | DocumentFault:
        request = Request(
            path=os.fspath(path),
            name=name,
            media_type=media_type or "",
            limits=limits or Limits(),
            tesseract=self._tesseract,
            chunking=chunking,
        )
        async with self._slots:
            answer = await self._ask(request)
        if answer.trace:
            logger.warning("a document broke its reader", extra={"document": name, "trace": answer.trace})
        if answer.recording:
            return await self._listen(path, answer.recording, request)
        if answer.fault is not None:
            return answer.fault
        assert answer.parsed is not None
        text = answer.parsed.text
        pieces = (
            Piece(ordinal, start, end, heading, text[start:end])
            for ordinal, (start, end, heading) in enumerate(answer.pieces)
        )
        return Reading(answer.parsed, tuple(pieces))

    async def _ask(self, request: Request) -> Answer:
        """Have a child answer; a reused one that ended in the meantime is replaced."""
        while True:
            is_reused = bool(self._idle)
            child = self._idle.pop() if is_reused else await start_child()
            is_kept = False
            try:
                with anyio.move_on_after(request.limits.time_s):
                    answer = await child.ask(request)
                    is_kept = not answer.is_last
                    return answer
                return Answer(fault=_too_slow(request.limits))
            except ChildDied as death:
                if death.has_begun or not is_reused:
                    return Answer(fault=_of_death(death, request.limits))
            finally:
                if is_kept:
                    self._idle.append(child)
                else:
                    await child.end()

    async def _listen(self, path: Path, media_type: str, request: Request) -> Reading | DocumentFault:
        if self._transcribe is None:
            return DocumentFault(code="unsupported_format", message=_NO_SPEECH)

        transcript = await self._transcribe(path, media_type)
        if isinstance(transcript, DocumentFault):
            return transcript
        draft = Draft(request.limits)
        draft.add(transcript.text)
        if draft.is_empty:
            return DocumentFault(code="no_text", message="Nothing is said in the recording.")
        parsed = draft.parsed(media_type)._replace(language=transcript.language)
        if request.chunking is None:
            return Reading(parsed, ())
        return Reading(parsed, tuple(await anyio.to_thread.run_sync(cut, parsed, request.chunking)))


def _too_slow(limits: Limits) -> DocumentFault:
    return DocumentFault(
        code="too_slow",
        message=f"It could not be read within {limits.time_s:g} seconds. Split it and add its parts, or "
        "allow more time in lar.toml (`recall.read_limit_s`).",
    )


def _of_death(death: ChildDied, limits: Limits) -> DocumentFault:
    """Return the fault of a document whose child died over it, or never began."""
    if not death.has_begun:
        return DocumentFault(
            code="internal_error",
            message=f"The process that reads documents did not start ({death.words}). Check Lar's "
            "installation and the memory that is left, then try again.",
        )
    if death.returncode in (EXIT_MEMORY, -9):  # the kernel kills what takes more memory than there is
        return DocumentFault(
            code="too_large",
            message=f"Reading it takes more memory than the {limits.memory_bytes >> 20:,} MiB that are "
            "allowed, or than the machine has left. Split it and add its parts.",
        )
    return DocumentFault(
        code="broken",
        message=f"Reading it crashed the library for its format ({death.words}): it is damaged. Open it with "
        "the program that made it, save it anew and add it again.",
    )


def find_tesseract() -> str:
    """Return the path of the OCR program, empty where it is not installed."""
    return shutil.which("tesseract") or ""


@asynccontextmanager
async def open_reader(
    count: int = 2, *, tesseract: str | None = None, transcribe: Transcribe | None = None
) -> AsyncIterator[Reader]:
    """Open a reader of so many children side by side; `tesseract` None: looked for, empty: no OCR."""
    found = await anyio.to_thread.run_sync(find_tesseract) if tesseract is None else tesseract
    reader = Reader(count, found, transcribe)
    try:
        yield reader
    finally:
        with anyio.CancelScope(shield=True):  # each end is bounded
            await reader.aclose()
