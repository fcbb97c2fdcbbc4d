"""Damaged documents through the reader: each is read or is a fault in bounded time, and the next is read."""

import random
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.core.knowledge import DocumentFault
from runtime.recall.parse.limits import MIB, Limits
from runtime.recall.parse.reader import Reader, open_reader
from runtime.recall.parts import Parsed
from tests.kit import documents
from tests.kit.reading import check

LIMITS = Limits(time_s=20.0, memory_bytes=1024 * MIB)
FORESEEN = ("unsupported_format", "broken", "encrypted", "empty", "too_large", "no_text")
ROUNDS = 6
HEADS = [
    b"",
    b"%PDF-1.7\n",
    b"PK\x03\x04",
    b"<html>",
    b"From: a\nTo: b\nDate: c\n\n",
    b"\xff\xfe",
    b"{",
    b"\xd0\xcf\x11\xe0",
]


@pytest.fixture
async def reader() -> AsyncIterator[Reader]:
    with anyio.fail_after(110):
        async with open_reader(1, tesseract="") as opened:
            yield opened


async def try_reading(reader: Reader, path: Path, name: str, content: bytes) -> None:
    """Read a document and assert that whatever came of it was foreseen."""
    await anyio.Path(path).write_bytes(content)
    got = await reader.read(path, name, None, LIMITS)
    if isinstance(got, DocumentFault):
        assert got.code in FORESEEN, got
        assert "crashed" not in got.message, got
    else:
        assert isinstance(got, Parsed)
        check(got)


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Return a document with a few bits flipped, and at times a stretch cut out or doubled."""
    out = bytearray(content)
    for _ in range(chance.randint(1, 8)):
        out[chance.randrange(len(out))] ^= 1 << chance.randrange(8)
    if chance.random() < 0.4:
        start = chance.randrange(len(out))
        end = min(len(out), start + chance.randint(1, 200))
        out[start:end] = b"" if chance.random() < 0.5 else out[start:end] * 2
    return bytes(out)


@pytest.mark.parametrize("name", documents.EVERY)
async def test_flipped_bits_neither_hang_nor_kill(reader: Reader, tmp_path: Path, name: str) -> None:
    chance = random.Random(name)  # the same damage in every run
    for _ in range(ROUNDS):
        await try_reading(reader, tmp_path / "document", name, damaged(documents.EVERY[name], chance))

    await anyio.Path(tmp_path / "document").write_bytes(b"whole")
    assert isinstance(await reader.read(tmp_path / "document", "a.txt"), Parsed)


@settings(max_examples=3, deadline=None)
@given(
    contents=st.lists(st.tuples(st.sampled_from(HEADS), st.binary(max_size=2000)), min_size=8, max_size=16),
    name=st.sampled_from([*documents.EVERY, "a", "a.wav"]),
)
def test_random_bytes_neither_hang_nor_kill(
    tmp_path_factory: pytest.TempPathFactory, contents: list[tuple[bytes, bytes]], name: str
) -> None:
    path = tmp_path_factory.mktemp("random") / "document"

    async def run() -> None:
        with anyio.fail_after(60):
            async with open_reader(1, tesseract="") as reader:
                for head, rest in contents:
                    await try_reading(reader, path, name, head + rest)

    anyio.run(run)
