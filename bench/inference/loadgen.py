"""The client: one streamed chat against any server that speaks the OpenAI API, with the time of each piece.

Times are monotonic and taken here, at the client. Tokens are the server's own count (`usage`). Each request
has a connection of its own, since llama-server closes idle ones under the client's feet.
"""

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

ANSWER_LIMIT_S = 600.0
"""For one answer, waiting included; the slowest setting of the full size takes a tenth of it."""
_ERROR_LETTERS = 200

Message = Mapping[str, str]
Listener = Callable[["Answer"], None]


@dataclass(slots=True)
class Answer:
    """What came back for one request, and when."""

    sent_at: float
    ended_at: float = 0.0
    arrivals: list[float] = field(default_factory=list)
    """When each piece with content came."""
    text: str = ""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    finish: str | None = None
    error: str | None = None

    @property
    def first_s(self) -> float:
        """How long until the first piece."""
        return self.arrivals[0] - self.sent_at

    @property
    def gaps_s(self) -> list[float]:
        """The time between each piece and the next."""
        return [after - before for before, after in zip(self.arrivals, self.arrivals[1:], strict=False)]

    def take(self, chunk: Mapping[str, Any], now: float) -> bool:
        """Add a chunk of the stream; return whether it brought content."""
        if chunk.get("error"):
            self.error = json.dumps(chunk["error"])[:_ERROR_LETTERS]
            return False

        if usage := chunk.get("usage"):
            self._count(usage)
        brought = False
        for choice in chunk.get("choices") or ():
            self.finish = choice.get("finish_reason") or self.finish
            text = (choice.get("delta") or {}).get("content")
            if text:
                self.arrivals.append(now)
                self.text += text
                brought = True
        return brought

    def close(self, now: float) -> None:
        """End the answer; one without content, or without a count of its tokens, is a failure."""
        self.ended_at = now
        if self.error is None and not self.arrivals:
            self.error = f"an empty answer (finish_reason {self.finish})"
        if self.error is None and not self.completion_tokens:
            self.error = "no usage was sent"

    def _count(self, usage: Mapping[str, Any]) -> None:
        self.prompt_tokens = usage.get("prompt_tokens") or 0
        self.completion_tokens = usage.get("completion_tokens") or 0
        self.cached_tokens = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0


def read_line(line: bytes) -> Mapping[str, Any] | None:
    """Return the chunk that a line of the stream carries; None for any other line. Raises ValueError."""
    line = line.strip()
    if not line.startswith(b"data:") or line == b"data: [DONE]":
        return None

    chunk = json.loads(line[5:])
    if not isinstance(chunk, dict):
        raise ValueError(f"no chunk: {line!r}")

    return chunk


class Client:
    """Asks one server."""

    def __init__(self, session: aiohttp.ClientSession, address: str, model: str) -> None:
        self._session = session
        self._url = f"{address}/v1/chat/completions"
        self._model = model
        self.errors: list[str] = []
        """What went wrong so far."""

    async def ask(
        self,
        messages: Sequence[Message],
        max_tokens: int,
        *,
        listen: Listener | None = None,
        **more: Any,
    ) -> Answer:
        """Ask and read to the end; failures are told in the answer. `listen` hears of each piece."""
        body = {
            "model": self._model,
            "messages": messages,
            "max_tokens": max_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
            **more,
        }
        answer = Answer(sent_at=time.perf_counter())
        try:
            async with self._session.post(self._url, json=body) as response:
                if response.status == 200:
                    await _read(response, answer, listen)
                else:
                    answer.error = f"HTTP {response.status}: {(await response.text())[:_ERROR_LETTERS]}"
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as problem:
            answer.error = f"{type(problem).__name__}: {problem}"[:_ERROR_LETTERS]
        answer.close(time.perf_counter())
        if answer.error is not None:
            self.errors.append(answer.error)
        return answer


async def _read(response: aiohttp.ClientResponse, answer: Answer, listen: Listener | None) -> None:
    async for line in response.content:
        chunk = read_line(line)
        if chunk is not None and answer.take(chunk, time.perf_counter()) and listen is not None:
            listen(answer)


@asynccontextmanager
async def open_client(address: str, model: str, *, keeps_connection: bool = False) -> AsyncIterator[Client]:
    """Open a client without any limit on how many requests are open at once."""
    limit = aiohttp.ClientTimeout(total=ANSWER_LIMIT_S)
    connector = aiohttp.TCPConnector(limit=0, force_close=not keeps_connection)
    async with aiohttp.ClientSession(timeout=limit, connector=connector) as session:
        yield Client(session, address, model)
