"""The input file of a batch: its lines one by one, and all that is wrong with them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import anyio
import msgspec

from runtime.api.openai.batch_words import BatchError, Endpoint, LineBody

LINES_LIMIT = 50_000
"""As OpenAI's."""
FILE_LIMIT_BYTES = 200 * 1024 * 1024
ERRORS_LIMIT = 100
"""Errors that are listed; a file that is wrong from end to end has no more to say."""
_PIECE_BYTES = 1024 * 1024


class InputLine(NamedTuple):
    """A line that says something."""

    number: int
    """From 1, empty lines counted."""
    text: bytes


class Checked(NamedTuple):
    """What a whole file is found to be."""

    errors: tuple[BatchError, ...]
    total: int
    model: str | None
    """That all lines name."""


class _Named(msgspec.Struct):
    """What every request names, and what no line may ask for."""

    model: str | None = None
    stream: bool | None = None


async def read_lines(path: Path, longest: int) -> AsyncIterator[InputLine]:
    """Yield the lines of a file that hold anything; one that is too long comes cut off."""
    number, rest = 0, b""
    async with await anyio.open_file(path, "rb") as file:
        while piece := await file.read(_PIECE_BYTES):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                number += 1
                if line.strip():
                    yield InputLine(number, line)
            if len(rest) > longest:
                break
    if rest.strip():
        yield InputLine(number + 1, rest)


async def check_file(path: Path, endpoint: Endpoint, longest: int) -> Checked:
    """Read a file as a whole and say what is wrong with it, line by line."""
    checker = _Checker(endpoint, longest)
    async for line in read_lines(path, longest):
        checker.take(line)
        if len(checker.errors) >= ERRORS_LIMIT:
            break
    if not checker.total and not checker.errors:
        message = "The input file is empty. Please ensure that the batch contains at least one request."
        checker.errors.append(BatchError(code="empty_file", message=message))
    model = next(iter(checker.models)) if len(checker.models) == 1 else None
    return Checked(tuple(checker.errors), checker.total, model)


class _Checker:
    """Checks the lines of one file."""

    def __init__(self, endpoint: Endpoint, longest: int) -> None:
        self.errors: list[BatchError] = []
        self.total = 0
        self.models: set[str | None] = set()
        self._endpoint = endpoint
        self._longest = longest
        self._seen: set[str] = set()

    def take(self, line: InputLine) -> None:
        """Look at one line."""
        self.total += 1
        if self.total == LINES_LIMIT + 1:
            message = f"The input file has more than {LINES_LIMIT} requests. Send it in several batches."
            self._note("too_many_tasks", message, line.number)
        if len(line.text) > self._longest:
            message = f"This line is larger than {self._longest} bytes, which no request may be."
            self._note("request_too_large", message, line.number)
            return
        try:
            body = msgspec.json.decode(line.text, type=LineBody)
        except msgspec.ValidationError as problem:
            self._note_shape(line, str(problem))
            return
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._note("invalid_json_line", "This line is not parseable as valid JSON.", line.number)
            return
        self._check(line, body)

    def _check(self, line: InputLine, body: LineBody) -> None:
        if not body.custom_id:
            message = "Missing required parameter: 'custom_id'."
            self._note("missing_required_parameter", message, line.number, "custom_id")
        if body.custom_id in self._seen:
            message = (
                f"The custom_id '{body.custom_id[:80]}' is a duplicate of another request. The custom_id "
                "must be unique for each request in a batch."
            )
            self._note("duplicate_custom_id", message, line.number, "custom_id")
        self._seen.add(body.custom_id)
        if body.method != "POST":
            message = f"Invalid method: '{body.method[:20]}'. It must be 'POST'."
            self._note("invalid_method", message, line.number, "method")
        if body.url != self._endpoint:
            message = f"The URL '{body.url[:80]}' is not the endpoint of the batch: '{self._endpoint}'."
            self._note(
                "mismatched_url" if body.url.startswith("/v1/") else "invalid_url",
                message,
                line.number,
                "url",
            )
        self._check_body(line, body)

    def _check_body(self, line: InputLine, body: LineBody) -> None:
        try:
            named = msgspec.json.decode(body.body, type=_Named)
        except msgspec.ValidationError:
            message = "The 'body' of this line must be an object with a 'model'."
            self._note("invalid_request", message, line.number, "body")
            return
        if named.stream:
            self._note(
                "invalid_request", "A batch cannot stream: leave 'stream' out.", line.number, "body.stream"
            )
        self.models.add(named.model)

    def _note_shape(self, line: InputLine, problem: str) -> None:
        """Note a line that is JSON, but not as the lines of a batch are."""
        _, _, missing = problem.partition("missing required field `")
        name = missing.partition("`")[0]
        if name:
            message = f"Missing required parameter: '{name}'."
            self._note("missing_required_parameter", message, line.number, name)
            return
        what, _, where = problem.partition(" - at `$.")
        self._note("invalid_request", f"{what}.", line.number, where.rstrip("`") or None)

    def _note(self, code: str, message: str, line: int, param: str | None = None) -> None:
        self.errors.append(BatchError(code=code, message=message, line=line, param=param))
