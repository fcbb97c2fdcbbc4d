"""Reading in real children: what they survive, what they cost, and that they leave nothing behind."""

import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import psutil
import pytest

from runtime.core.knowledge import Chunking, DocumentFault
from runtime.recall.chunk import cut
from runtime.recall.parse.limits import MIB, Limits
from runtime.recall.parse.process import child_environment
from runtime.recall.parse.reader import Reader, Reading, Transcript, open_reader
from runtime.recall.parts import Parsed
from tests.kit import documents

WAIT_S = 60
HANGS = """#!{python}
import pathlib, time
pathlib.Path({marker!r}).touch()
time.sleep(600)
"""
HEAVY = ("lxml", "pypdfium2", "pptx", "openpyxl", "trafilatura", "selectolax", "py3langid", "tree_sitter")


@pytest.fixture
async def reader() -> AsyncIterator[Reader]:
    with anyio.fail_after(WAIT_S):
        async with open_reader(1, tesseract="") as opened:
            yield opened


def put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def children() -> list[psutil.Process]:
    return [
        each
        for each in psutil.Process().children(recursive=True)
        if each.status() != psutil.STATUS_ZOMBIE and "parse.child" in " ".join(each.cmdline())
    ]


async def read(reader: Reader, path: Path, limits: Limits | None = None) -> Parsed | DocumentFault:
    return await reader.read(path, path.name, None, limits)


async def text_of(reader: Reader, path: Path) -> str:
    document = await read(reader, path)
    assert isinstance(document, Parsed), document
    return document.text


async def test_every_format_is_read_in_one_child(reader: Reader, tmp_path: Path) -> None:
    for name, content in documents.EVERY.items():
        assert await text_of(reader, put(tmp_path, name, content))

    assert len(children()) == 1


async def test_a_document_is_cut_where_it_is_read(reader: Reader, tmp_path: Path) -> None:
    path = put(tmp_path, "a.md", documents.MARKDOWN.encode() * 20)
    chunking = Chunking(max_tokens=32)

    reading = await reader.read_and_cut(path, "a.md", None, None, chunking)

    assert isinstance(reading, Reading)
    assert list(reading.pieces) == cut(reading.parsed, chunking)
    assert len(reading.pieces) > 10


def hanging(folder: Path) -> tuple[str, anyio.Path]:
    """Return a program that stands in for Tesseract and never ends, and the file that it makes first."""
    program, marker = folder / "tesseract", folder / "started"
    program.write_text(HANGS.format(python=sys.executable, marker=str(marker)))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program), anyio.Path(marker)


async def started(marker: anyio.Path) -> None:
    """Wait until the program runs."""
    while not await marker.exists():  # noqa: ASYNC110 - another process makes it
        await anyio.sleep(0.01)
    await marker.unlink()


async def test_a_child_that_takes_too_long_is_ended_with_what_it_started(tmp_path: Path) -> None:
    program, _ = hanging(tmp_path)
    with anyio.fail_after(WAIT_S):
        async with open_reader(1, tesseract=program) as reader:
            await text_of(reader, put(tmp_path, "a.pdf", documents.pdf(["warm"])))

            fault = await read(reader, put(tmp_path, "b.pdf", documents.pdf([""])), Limits(time_s=1.0))

            assert isinstance(fault, DocumentFault)
            assert fault.code == "too_slow"
            assert "recall.read_limit_s" in fault.message
            assert not psutil.Process().children(recursive=True)
            assert await text_of(reader, tmp_path / "a.pdf") == "warm"


async def test_cancelling_ends_the_child(tmp_path: Path) -> None:
    program, marker = hanging(tmp_path)
    scan = put(tmp_path, "b.pdf", documents.pdf([""]))
    with anyio.fail_after(WAIT_S):
        async with open_reader(1, tesseract=program) as reader:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read, reader, scan)
                await started(marker)
                tasks.cancel_scope.cancel()

            assert not children()
            assert await text_of(reader, put(tmp_path, "a.txt", b"next"))


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGSEGV, "broken"), (signal.SIGABRT, "broken"), (signal.SIGKILL, "too_large")],
)
async def test_a_crash_costs_one_document_and_not_the_next(
    tmp_path: Path, number: signal.Signals, code: str
) -> None:
    program, marker = hanging(tmp_path)
    scan = put(tmp_path, "b.pdf", documents.pdf([""]))
    found: list[Parsed | DocumentFault] = []
    with anyio.fail_after(WAIT_S):
        async with open_reader(1, tesseract=program) as reader:

            async def keep() -> None:
                found.append(await read(reader, scan))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(keep)
                await started(marker)
                (child,) = children()
                child.send_signal(number)

            (fault,) = found
            assert isinstance(fault, DocumentFault)
            assert fault.code == code
            assert number.name in fault.message or code == "too_large"
            assert not psutil.Process().children(recursive=True)
            assert await text_of(reader, put(tmp_path, "a.txt", b"next")) == "next"


async def test_a_child_that_ended_while_idle_is_replaced(reader: Reader, tmp_path: Path) -> None:
    path = put(tmp_path, "a.txt", b"words")
    await text_of(reader, path)
    (child,) = children()
    child.send_signal(signal.SIGTERM)
    while children():  # noqa: ASYNC110 - the kernel ends it
        await anyio.sleep(0.01)

    document = await read(reader, path)

    assert isinstance(document, Parsed), document


async def test_a_document_that_takes_too_much_memory_is_refused(reader: Reader, tmp_path: Path) -> None:
    path = put(tmp_path, "a.json", b"[" + b"[1,2,3]," * 1_500_000 + b"0]")

    fault = await read(reader, path, Limits(memory_bytes=400 * MIB))

    assert isinstance(fault, DocumentFault)
    assert fault.code == "too_large"
    assert "400 MiB" in fault.message
    assert await text_of(reader, put(tmp_path, "a.txt", b"words")) == "words"


async def test_a_long_text_comes_whole(reader: Reader, tmp_path: Path) -> None:
    text = "Words that are many. " * 500_000

    assert await text_of(reader, put(tmp_path, "a.txt", text.encode())) == text


async def test_as_many_children_read_as_were_asked_for(tmp_path: Path) -> None:
    paths = [put(tmp_path, f"{number}.txt", b"words") for number in range(12)]
    found: list[str] = []
    with anyio.fail_after(WAIT_S):
        async with open_reader(2, tesseract="") as reader:

            async def keep(path: Path) -> None:
                found.append(await text_of(reader, path))

            async with anyio.create_task_group() as tasks:
                for path in paths:
                    tasks.start_soon(keep, path)
            assert 1 <= len(children()) <= 2

    assert found == ["words"] * 12
    assert not children()


async def test_a_file_that_is_gone_is_a_fault(reader: Reader, tmp_path: Path) -> None:
    fault = await read(reader, tmp_path / "gone.txt")

    assert isinstance(fault, DocumentFault)
    assert fault.code == "not_found"


async def test_a_recording_is_written_down_by_who_was_given_for_it(tmp_path: Path) -> None:
    heard: list[tuple[str, str]] = []

    async def transcribe(path: Path, media_type: str) -> Transcript | DocumentFault:
        heard.append((path.name, media_type))
        if len(heard) > 1:
            return DocumentFault(code="no_text", message="Nobody speaks.")
        return Transcript("Good evening. \x00 It rains.", "en")

    path = put(tmp_path, "a.wav", documents.sound())
    with anyio.fail_after(WAIT_S):
        async with open_reader(1, tesseract="", transcribe=transcribe) as reader:
            reading = await reader.read_and_cut(path, "a.wav", None, None, Chunking())
            fault = await reader.read(path, "a.wav")

    assert isinstance(reading, Reading)
    assert reading.parsed.text == "Good evening.  It rains."
    assert (reading.parsed.media_type, reading.parsed.language) == ("audio/wav", "en")
    assert [piece.text for piece in reading.pieces] == [reading.parsed.text]
    assert fault == DocumentFault(code="no_text", message="Nobody speaks.")
    assert heard == [("a.wav", "audio/wav")] * 2


async def test_a_recording_without_a_speech_model_says_what_to_do(reader: Reader, tmp_path: Path) -> None:
    fault = await read(reader, put(tmp_path, "a.mp3", b"ID3\x04\x00" + b"\x00" * 100))

    assert isinstance(fault, DocumentFault)
    assert fault.code == "unsupported_format"
    assert "Add its text instead" in fault.message


def test_a_child_sees_no_secrets_of_the_server() -> None:
    kept = child_environment(
        {"PATH": "/bin", "LAR_API_KEY": "secret", "AWS_SECRET": "secret", "PYTHONPATH": "x"}
    )

    assert kept["PATH"] == "/bin"
    assert "secret" not in kept.values()
    assert "PYTHONPATH" not in kept


def test_the_server_imports_no_library_of_a_format() -> None:
    script = "import sys, runtime.recall.parse.reader; print({*sys.argv} & {*sys.modules})"

    done = subprocess.run(
        [sys.executable, "-c", script, *HEAVY], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.strip() == "set()"


def test_children_die_with_a_server_that_is_killed(tmp_path: Path) -> None:
    put(tmp_path, "a.txt", b"words")
    script = textwrap.dedent("""
        import anyio, sys
        from pathlib import Path
        from runtime.recall.parse.reader import open_reader

        async def main() -> None:
            async with open_reader(1, tesseract="") as reader:
                await reader.read(Path(sys.argv[1]), "a.txt")
                print("ready", flush=True)
                await anyio.sleep(600)

        anyio.run(main)
    """)
    server = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "a.txt")], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    with server.stdout:
        assert server.stdout.readline() == "ready\n"
        found = psutil.Process(server.pid).children(recursive=True)
        assert found
        server.kill()
        server.wait(timeout=10)

    _, alive = psutil.wait_procs(found, timeout=10)
    assert not alive
