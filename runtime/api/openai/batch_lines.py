"""One request of a batch, carried out by the same code as the route that it names, at the priority `batch`.

A response is begun in the background, so that it goes on after a restart instead of being made twice; `note`
hears of its run before anything else happens.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

import anyio
import msgspec

from runtime.api.bodies import decode_body
from runtime.api.deps import ApiDeps
from runtime.api.errors import Refusal, Refused, envelope, refusal_of, unsupported
from runtime.api.openai.batch_words import Endpoint, LineUsage
from runtime.api.openai.body import ChatBody
from runtime.api.openai.chat import complete_chat
from runtime.api.openai.completion_body import CompletionBody
from runtime.api.openai.completions import complete_text
from runtime.api.openai.embeddings import EmbeddingsBody, embed_texts
from runtime.api.responses.body import CreateBody
from runtime.api.runs import Asker
from runtime.core.errors import LarError
from runtime.core.gate.principals import Principal
from runtime.core.ids import RunId, TenantId

logger = logging.getLogger(__name__)

NoteRun = Callable[[RunId], Awaitable[None]]
"""Makes it known, durably, which run a line has."""


class Line(NamedTuple):
    """A line that is carried out."""

    key: str
    note: NoteRun
    run: RunId | None = None
    """Its run, begun before a restart."""
    is_resumed: bool = False
    """Whether it may have a run that nobody has noted."""


class LineAnswer(NamedTuple):
    """What came back for a line, as HTTP would have it."""

    status: int
    request_id: str
    body: bytes
    refusal: Refusal | None = None


class Responding(Protocol):
    """Makes responses without a client that waits."""

    async def respond(self, principal: Principal, body: CreateBody, line: Line) -> bytes:
        """Return the whole response; of the run that was begun before, where there is one.

        Raises Refused, LarError.
        """

    async def stop(self, tenant: TenantId, run: RunId) -> None:
        """End a run whose batch ends before it."""


class LineDesk:
    """Carries lines out."""

    def __init__(self, deps: ApiDeps, responding: Responding) -> None:
        self._deps = deps
        self._responding = responding

    async def perform(self, principal: Principal, endpoint: Endpoint, body: bytes, line: Line) -> LineAnswer:
        """Return what the endpoint answers. Raises nothing but cancellation."""
        request_id = f"req_{secrets.token_hex(12)}"
        try:
            answer = await self._answer(principal, endpoint, body, line)
        except Refused as refused:
            refusal = refused.refusal
        except LarError as problem:
            refusal = refusal_of(problem.fault)
        else:
            return LineAnswer(200, request_id, answer)
        return LineAnswer(refusal.status, request_id, envelope(refusal), refusal)

    async def stop(self, tenant: TenantId, run: RunId) -> None:
        """End the run of a line whose batch ends before it. Raises LarError."""
        await self._responding.stop(tenant, run)

    async def _answer(self, principal: Principal, endpoint: Endpoint, body: bytes, line: Line) -> bytes:
        asker = Asker(self._deps, principal, endpoint, _hear_nothing)
        match endpoint:
            case "/v1/chat/completions":
                chat = decode_body(body, ChatBody)
                _check_stream(chat.stream)
                return await complete_chat(asker, msgspec.structs.replace(chat, priority="batch"))
            case "/v1/completions":
                text = decode_body(body, CompletionBody)
                _check_stream(text.stream)
                return await complete_text(asker, msgspec.structs.replace(text, priority="batch"))
            case "/v1/embeddings":
                embeddings = decode_body(body, EmbeddingsBody)
                return await embed_texts(asker, msgspec.structs.replace(embeddings, priority="batch"))
            case "/v1/responses":
                create = decode_body(body, CreateBody)
                _check_stream(create.stream)
                wanted = msgspec.structs.replace(create, priority="batch")
                return await self._responding.respond(principal, wanted, line)


class _Details(msgspec.Struct):
    cached_tokens: int = 0
    reasoning_tokens: int = 0


class _Usage(msgspec.Struct):
    """Tokens, in the words of either API."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


class _Answered(msgspec.Struct):
    usage: _Usage | None = None


def usage_of(answer: LineAnswer) -> LineUsage:
    """Return the tokens that an answer tells."""
    usage = msgspec.json.decode(answer.body, type=_Answered).usage if answer.status == 200 else None
    if usage is None:
        return LineUsage()

    asked = usage.input_tokens_details or usage.prompt_tokens_details or _Details()
    given = usage.output_tokens_details or usage.completion_tokens_details or _Details()
    return LineUsage(
        input_tokens=usage.input_tokens or usage.prompt_tokens,
        cached_tokens=asked.cached_tokens,
        output_tokens=usage.output_tokens or usage.completion_tokens,
        reasoning_tokens=given.reasoning_tokens,
    )


def output_line(custom_id: str, answer: LineAnswer) -> bytes:
    """Return the line of the output file, or of the error file, for an answer."""
    response = {
        "status_code": answer.status,
        "request_id": answer.request_id,
        "body": msgspec.Raw(answer.body),
    }
    return _line(custom_id, response, None)


def unmade_line(custom_id: str, code: str, message: str) -> bytes:
    """Return the line of the error file for a request that was not made."""
    return _line(custom_id, None, {"code": code, "message": message})


def _line(custom_id: str, response: object, error: object) -> bytes:
    line_id = f"batch_req_{secrets.token_hex(12)}"
    return msgspec.json.encode({"id": line_id, "custom_id": custom_id, "response": response, "error": error})


def _check_stream(is_stream: bool | None) -> None:
    if is_stream:
        raise unsupported("A batch cannot stream: leave 'stream' out.", "stream")


def _hear_nothing(run: RunId) -> None:  # noqa: ARG001 - nobody waits for a header that would name it
    return


class Patience:
    """How long to wait before a line is tried again; None: its refusal stands."""

    FIRST_S = 1.0
    LONGEST_S = 60.0
    BREAKS = 3
    """Times that a request may end its worker before it is taken for the cause."""

    def __init__(self) -> None:
        self._tries = 0
        self._breaks = 0

    def wait_s(self, answer: LineAnswer) -> float | None:
        """Return how long to wait after this answer."""
        refusal = answer.refusal
        if refusal is None or not refusal.should_retry:
            return None

        if refusal.code in ("worker_died", "worker_silent"):
            self._breaks += 1
            if self._breaks >= self.BREAKS:
                return None
        self._tries += 1
        grown = min(self.LONGEST_S, self.FIRST_S * 2.0 ** min(self._tries - 1, 10))
        return max(grown, min(refusal.retry_after_s or 0.0, self.LONGEST_S))


async def pause(seconds: float) -> None:
    """Wait; tests put another in its place."""
    await anyio.sleep(seconds)
