"""The laws of `engines.contract` as a ledger: it watches an engine's steps and asserts after each of them.

Works for every engine: it looks at frames only, never at what the text means.
"""

import math
from collections.abc import Iterable, Set
from dataclasses import dataclass, field

from runtime.backends.engines.contract import Engine, StepFrame
from runtime.backends.engines.embedding.vectors import cosine
from runtime.backends.protocol import (
    Choice,
    Content,
    Delta,
    Detokenize,
    Embed,
    Embedded,
    Failed,
    Fault,
    Finished,
    Generate,
    Rerank,
    Scored,
    Started,
    Tokenize,
    Tokenized,
    Work,
)

CONTENT_OF: dict[type[Work], type[Content]] = {
    Generate: Delta,
    Embed: Embedded,
    Rerank: Scored,
    Tokenize: Tokenized,
    Detokenize: Delta,
}
"""What each kind of work may yield between its start and its end."""

MOST_STEPS = 20_000
"""No test asks for more; an engine that needs more does not end its seqs."""


@dataclass(slots=True)
class Account:
    """What one seq has said so far."""

    request: Work
    started: Started | None = None
    deltas: list[Delta] = field(default_factory=list)
    vectors: list[bytes] = field(default_factory=list)
    scores: list[float] | None = None
    told: Tokenized | None = None
    finished: Finished | None = None
    fault: Fault | None = None
    is_cancelled: bool = False

    @property
    def is_over(self) -> bool:
        return self.finished is not None or self.fault is not None

    @property
    def text(self) -> str:
        return "".join(delta.text for delta in self.deltas)

    @property
    def is_content_whole(self) -> bool:
        """Whether all was told that the work asks for; of a text nobody can know."""
        match self.request:
            case Embed(inputs=inputs):
                return len(self.vectors) == len(inputs)
            case Rerank(documents=documents):
                return self.scores is not None and len(self.scores) == len(documents)
            case Tokenize():
                return self.told is not None
            case Generate() | Detokenize():
                return True

    @property
    def echo(self) -> str:
        """The part of the text that the prompt makes up, before anything was generated."""
        prompt = self.request.prompt if isinstance(self.request, Generate) else None
        return (prompt.text or "") if prompt is not None and prompt.is_echoed else ""

    @property
    def reasoning(self) -> str:
        return "".join(delta.reasoning for delta in self.deltas)

    @property
    def tokens(self) -> int:
        return sum(delta.tokens for delta in self.deltas)

    @property
    def choices(self) -> list[Choice]:
        return [choice for delta in self.deltas for choice in delta.logprobs]

    @property
    def end(self) -> Finished:
        assert self.finished is not None, f"the seq did not finish: {self.fault}"
        return self.finished

    def calls(self) -> dict[int, tuple[str, str, str]]:
        """Return id, name and arguments of each tool call, asserting that the pieces are in order."""
        calls: dict[int, tuple[str, str, str]] = {}
        for piece in (piece for delta in self.deltas for piece in delta.tool_calls):
            if piece.index in calls:
                assert (piece.id, piece.name) == (None, None), "id and name come once"
                call_id, name, arguments = calls[piece.index]
                assert piece.index == max(calls), "calls come one after the other"
                calls[piece.index] = (call_id, name, arguments + piece.arguments)
            else:
                assert piece.id, "the id comes with the first piece"
                assert piece.name, "the name comes with the first piece"
                assert piece.index == len(calls), "calls are numbered from 0"
                calls[piece.index] = (piece.id, piece.name, piece.arguments)
        return calls


class Ledger:
    """An engine with a book-keeper beside it. Every assertion is a law."""

    def __init__(self, engine: Engine) -> None:
        self.accounts: dict[int, Account] = {}
        self._engine = engine

    def submit(self, request: Work) -> Account:
        account = self.accounts[request.seq] = Account(request)
        self._engine.submit(request)
        assert self._engine.is_busy()
        return account

    def cancel(self, seq: int) -> None:
        self._engine.cancel(seq)
        if seq in self.accounts and not self.accounts[seq].is_over:
            self.accounts[seq].is_cancelled = True

    def step(self, blocked: Set[int] = frozenset()) -> list[StepFrame]:
        """Take one step and check it."""
        cancelled = {
            seq for seq, account in self.accounts.items() if account.is_cancelled and not account.is_over
        }
        frames = self._engine.step(blocked)
        self._check_step(frames, blocked, cancelled)
        for frame in frames:
            self._enter(self.accounts[frame.seq], frame)
        live = [seq for seq, account in self.accounts.items() if not account.is_over]
        assert self._engine.is_busy() == bool(live)
        return frames

    def drain(self) -> None:
        """Step until every seq has ended."""
        for _ in range(MOST_STEPS):
            if not self._engine.is_busy():
                break
            self.step()
        assert all(account.is_over for account in self.accounts.values())
        assert not self._engine.is_busy()
        assert self._engine.step(frozenset()) == []

    def play(self, request: Work) -> Account:
        """Submit a request and let everything end."""
        account = self.submit(request)
        self.drain()
        return account

    def _check_step(self, frames: Iterable[StepFrame], blocked: Set[int], cancelled: Set[int]) -> None:
        content = [frame.seq for frame in frames if isinstance(frame, Content)]
        assert len(content) == len(set(content)), "a step costs a seq at most one credit"
        for frame in frames:
            assert frame.seq in self.accounts
            if frame.seq in cancelled:
                assert isinstance(frame, Finished), "a cancelled seq only ends"
                assert frame.reason == "cancelled"
            else:
                assert frame.seq not in blocked, "a blocked seq is not advanced"
        assert cancelled <= {frame.seq for frame in frames}, "a cancelled seq ends at the next step"

    def _enter(self, account: Account, frame: StepFrame) -> None:
        assert not account.is_over, "nothing follows the end"
        match frame:
            case Started():
                assert account.started is None, "a seq starts once"
                is_counted = isinstance(account.request, Generate | Embed | Rerank)
                assert frame.prompt_tokens > 0 or not is_counted
                account.started = frame
            case Delta() | Embedded() | Scored() | Tokenized():
                assert account.started is not None, "Started comes first"
                assert isinstance(frame, CONTENT_OF[type(account.request)]), "nobody asked for that"
                _enter_content(account, frame)
            case Failed():
                account.fault = frame.fault
                assert frame.fault.message
            case Finished():
                account.finished = frame
                _check_finished(account, frame)


def _enter_content(account: Account, frame: Content) -> None:
    match frame:
        case Delta():
            assert frame.tokens >= 0
            assert frame.tokens or frame.text or frame.reasoning or frame.tool_calls
            account.deltas.append(frame)
        case Embedded():
            assert frame.vectors, "a frame holds a vector at least"
            assert frame.start == len(account.vectors), "vectors come in the order of their inputs"
            account.vectors += frame.vectors
            assert len({len(vector) for vector in account.vectors}) == 1
            for vector in frame.vectors:
                assert abs(cosine(vector, vector) - 1) < 1e-4, "vectors are of unit length"
        case Scored():
            assert account.scores is None, "scores come once"
            assert all(map(math.isfinite, frame.scores))
            account.scores = frame.scores
        case Tokenized():
            assert account.told is None, "tokens come once"
            assert len(frame.pieces) == len(frame.tokens)
            account.told = frame


def _check_finished(account: Account, finished: Finished) -> None:
    if finished.reason == "cancelled":
        assert account.is_cancelled
        assert finished.completion_tokens >= account.tokens
    else:
        assert account.started is not None, "Started comes first"
        assert finished.completion_tokens == account.tokens, "usage counts match the deltas"
        assert account.is_content_whole, "all that was asked for comes before the end"

    if account.started is not None:
        assert finished.prompt_tokens == account.started.prompt_tokens
    assert 0 <= finished.cached_tokens <= finished.prompt_tokens
    assert 0 <= finished.reasoning_tokens <= finished.completion_tokens
    if isinstance(account.request, Generate):
        _check_sampling(account, account.request, finished)
    calls = account.calls()
    assert bool(calls) or finished.reason != "tool_calls"


def _check_sampling(account: Account, request: Generate, finished: Finished) -> None:
    sampling = request.sampling
    assert sampling.max_tokens is None or finished.completion_tokens <= sampling.max_tokens
    said = account.text.removeprefix(account.echo)
    assert all(stop not in said for stop in sampling.stop), "a stop string is not part of the text"
    if sampling.logprobs is None:
        assert account.choices == []
        return

    for choice in account.choices:
        values = [each.logprob for each in choice.top]
        assert choice.chosen.logprob <= 0
        assert all(value <= 0 for value in values)
        assert values == sorted(values, reverse=True)
        assert len(values) == sampling.logprobs
    if finished.reason != "cancelled" and not sampling.stop:
        data = b"".join(choice.chosen.data for choice in account.choices)
        assert data.decode("utf-8", "replace") == account.text, "a limit may fall in the midst of a character"
