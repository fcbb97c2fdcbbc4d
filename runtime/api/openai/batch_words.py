"""The words of batches: how one is kept, how it looks to clients, and what each of its lines came to."""

from typing import Any, Literal

import msgspec

from runtime.api.openai.files import FileExpiry
from runtime.api.openai.sampling import NotEmpty, Wire
from runtime.api.responses.body import Metadata
from runtime.core.gate.principals import Principal

KIND = "batch"
"""Of the records that hold batches."""
LINE_KIND = "batch_line"
"""Of those that hold what lines came to, until the files are written."""
PREFIX = "batch_"
LABEL = "batch_line"
"""Of the runs of responses: which line each is of."""
WINDOW_S = 86_400.0

Endpoint = Literal["/v1/responses", "/v1/chat/completions", "/v1/completions", "/v1/embeddings"]
Status = Literal[
    "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
]
End = Literal["completed", "failed", "expired", "cancelled"]
OVER: frozenset[Status] = frozenset({"completed", "failed", "expired", "cancelled"})


class BatchBody(Wire, frozen=True, kw_only=True):
    """What clients send to begin."""

    input_file_id: NotEmpty
    endpoint: Endpoint
    completion_window: Literal["24h"]
    metadata: Metadata | None = None
    output_expires_after: FileExpiry | None = None


class BatchError(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with the input file."""

    code: str
    message: str
    line: int | None = None
    """From 1."""
    param: str | None = None


class LineUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of one line, or of many."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: "LineUsage") -> "LineUsage":
        return LineUsage(
            **{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__}
        )


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How far a batch is."""

    total: int = 0
    completed: int = 0
    failed: int = 0


class BatchState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A batch as it is kept."""

    id: str
    principal: Principal
    """Who asked: its lines are run in this name."""
    endpoint: Endpoint
    input_file_id: str
    created_at: float
    expires_at: float
    status: Status = "validating"
    ends_as: End | None = None
    """Set while the files are being written."""
    metadata: dict[str, str] | None = None
    output_expires_s: float | None = None
    model: str | None = None
    """That all lines name; None: several."""
    errors: tuple[BatchError, ...] = ()
    counts: Counts = Counts()
    usage: LineUsage = LineUsage()
    output_file_id: str | None = None
    error_file_id: str | None = None
    times: dict[str, float] = {}
    """When it came into each status."""
    is_settled: bool = False
    """Its end was told and what its lines came to is removed."""


class LineRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a line has come to, as it is kept."""

    run: str | None = None
    """A response that was begun for it and goes on after a restart."""
    is_over: bool = False
    is_ok: bool = False
    output: msgspec.Raw = msgspec.Raw(b"null")
    """The line of the output file or of the error file."""
    usage: LineUsage = LineUsage()


class LineBody(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the input file."""

    custom_id: str
    method: str
    url: str
    body: msgspec.Raw


def line_key(batch: str, number: int) -> str:
    """Return the key of a line's record: the lines of a batch sort by their number."""
    return f"{batch}/{number:08d}"


def number_of(key: str) -> int:
    """Return which line a key names."""
    return int(key.rpartition("/")[2])


def moved(state: BatchState, status: Status, at: float, **changes: Any) -> BatchState:
    """Return the batch in another status."""
    times = {**state.times, status: at}
    return msgspec.structs.replace(state, status=status, times=times, **changes)


def wire_batch(state: BatchState) -> dict[str, Any]:
    """Say a batch in OpenAI's words."""

    def second(status: Status) -> int | None:
        at = state.times.get(status)
        return None if at is None else int(at)

    errors = [msgspec.to_builtins(each) for each in state.errors]
    usage = state.usage
    return {
        "id": state.id,
        "object": "batch",
        "endpoint": state.endpoint,
        "model": state.model,
        "errors": {"object": "list", "data": errors} if errors else None,
        "input_file_id": state.input_file_id,
        "completion_window": "24h",
        "status": state.status,
        "output_file_id": state.output_file_id,
        "error_file_id": state.error_file_id,
        "created_at": int(state.created_at),
        "in_progress_at": second("in_progress"),
        "expires_at": int(state.expires_at),
        "finalizing_at": second("finalizing"),
        "completed_at": second("completed"),
        "failed_at": second("failed"),
        "expired_at": second("expired"),
        "cancelling_at": second("cancelling"),
        "cancelled_at": second("cancelled"),
        "request_counts": msgspec.to_builtins(state.counts),
        "usage": {
            "input_tokens": usage.input_tokens,
            "input_tokens_details": {"cached_tokens": usage.cached_tokens},
            "output_tokens": usage.output_tokens,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
            "total_tokens": usage.input_tokens + usage.output_tokens,
        },
        "metadata": state.metadata,
    }
