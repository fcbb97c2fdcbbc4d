"""What a client adds over its WebSocket to a response that is being made: accepted, kept, committed later.

    steer ── accepted ──► the response ends ── nothing is owed ──► a successor begins with the input
                                            ├─ results are owed ─► pending; the next create takes it along
                                            └─ it failed ────────► failed: the input goes back

One `Steering` per connection; nothing in here waits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import msgspec

from runtime.core.minting import new_id

PENDING_LIMIT = 16
"""Submissions that may wait for one response."""
_KNOWN = 64
"""Responses that are known at once, beside those that still matter."""
_PARTS = frozenset({"input_text", "input_image", "input_file"})
_OUTPUTS: Mapping[str, str] = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
    "shell_call": "shell_call_output",
    "local_shell_call": "local_shell_call_output",
    "apply_patch_call": "apply_patch_call_output",
}
"""What a client owes for a call of its own."""

SteerCode = Literal[
    "response_not_found",
    "invalid_input",
    "steering_not_supported",
    "too_many_pending_steers",
    "response_already_completed",
    "successor_creation_failed",
]


class SteerMessage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message of the user."""

    content: str | list[dict[str, Any]]
    role: Literal["user"]
    type: Literal["message"] = "message"
    id: str | None = None
    status: str | None = None


class SteerFrame(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The frame `response.steer`."""

    type: Literal["response.steer"]
    previous_response_id: str
    input: str | list[SteerMessage]


@dataclass(frozen=True, slots=True)
class _Submission:
    id: str
    input: Any
    """As it came."""
    messages: list[dict[str, Any]]


@dataclass(slots=True)
class _Target:
    """A response that was made on this connection."""

    stream_id: str | None
    can_be_steered: bool
    is_over: bool = False
    waiting: list[_Submission] = field(default_factory=list)


class AfterEnd(NamedTuple):
    """What follows from the end of a response."""

    events: Sequence[dict[str, Any]] = ()
    has_successor: bool = False
    """Whether another response begins by itself, with what waits."""


class Steering:
    """The responses of one connection, and what waits for each."""

    def __init__(self) -> None:
        self._targets: dict[str, _Target] = {}
        self._next = 0

    def begin(self, response: str, stream_id: str | None, *, can_be_steered: bool) -> None:
        """Know of a response that is being made."""
        self._forget()
        self._targets[response] = _Target(stream_id, can_be_steered)

    def take(self, frame: Mapping[str, Any]) -> dict[str, Any]:
        """Take a submission; return the event that says whether it is accepted."""
        try:
            steer = msgspec.convert(frame, SteerFrame)
            messages = _messages(steer.input)
        except (msgspec.ValidationError, ValueError) as problem:
            return self._failed(_lenient(frame), "invalid_input", str(problem))

        response = steer.previous_response_id
        target = self._targets.get(response)
        if target is None:
            message = f"There is no response '{response[:80]}' on this connection."
            return self._failed(_lenient(frame), "response_not_found", message)

        refusal = _refusal(target)
        if refusal is not None:
            return self._failed(_lenient(frame), *refusal, stream_id=target.stream_id)

        submission = _Submission(new_id("steer_"), frame["input"], messages)
        target.waiting.append(submission)
        return self._event("accepted", submission, response, target.stream_id)

    def end(self, response: str, status: str, output: Sequence[Mapping[str, Any]]) -> AfterEnd:
        """Know that a response has ended with this status, as it is shown; say what follows."""
        target = self._targets.get(response)
        if target is None:
            return AfterEnd()

        target.is_over = True
        if not target.waiting:
            return AfterEnd()

        if status not in ("completed", "incomplete"):
            return AfterEnd(events=self.give_back(response, f"The response ended as {status}."))

        owed = _owed(output)
        if not owed:
            return AfterEnd(has_successor=True)

        more = {"reason": "waiting_for_required_input", "required_input": owed}
        pending = [
            self._event("pending", each, response, target.stream_id, **more) for each in target.waiting
        ]
        return AfterEnd(events=pending)

    def is_waited_for(self, response: str) -> bool:
        """Whether something waits for a response that is being made."""
        target = self._targets.get(response)
        return target is not None and not target.is_over and bool(target.waiting)

    def waiting(self, response: object) -> list[dict[str, Any]]:
        """Return the input that waits for a response that has ended, in the order in which it came."""
        target = self._targets.get(response) if isinstance(response, str) else None
        if target is None or not target.is_over:
            return []

        return [message for each in target.waiting for message in each.messages]

    def claim(self, response: object) -> None:
        """Know that what waited is part of a response now."""
        target = self._targets.get(response) if isinstance(response, str) else None
        if target is not None and target.is_over:
            target.waiting = []

    def give_back(self, response: object, why: str) -> list[dict[str, Any]]:
        """Return the events that hand back what waits for a response."""
        target = self._targets.get(response) if isinstance(response, str) else None
        if target is None:
            return []

        waiting, target.waiting = target.waiting, []
        return [
            self._failed(
                {"id": each.id, "previous_response_id": response, "input": each.input},
                "successor_creation_failed",
                why,
                stream_id=target.stream_id,
            )
            for each in waiting
        ]

    def _forget(self) -> None:
        """Let go of the oldest responses that nothing waits for."""
        for response in list(self._targets):
            if len(self._targets) < _KNOWN:
                return
            if self._targets[response].is_over and not self._targets[response].waiting:
                del self._targets[response]

    def _event(
        self, name: str, submission: _Submission, response: str, stream_id: str | None, **more: Any
    ) -> dict[str, Any]:
        steer = {"id": submission.id, "previous_response_id": response}
        return self._numbered({"type": f"response.steer.{name}", "steer": steer, **more}, stream_id)

    def _failed(
        self, steer: dict[str, Any], code: SteerCode, message: str, *, stream_id: str | None = None
    ) -> dict[str, Any]:
        error = {"type": "invalid_request_error", "code": code, "message": message}
        return self._numbered({"type": "response.steer.failed", "steer": steer, "error": error}, stream_id)

    def _numbered(self, event: dict[str, Any], stream_id: str | None) -> dict[str, Any]:
        event["sequence_number"] = self._next
        self._next += 1
        if stream_id is not None:
            event["stream_id"] = stream_id
        return event


def _refusal(target: _Target) -> tuple[SteerCode, str] | None:
    if target.is_over:
        return "response_already_completed", "The response has ended: send the input with response.create."
    if not target.can_be_steered:
        return "steering_not_supported", "A response that belongs to a conversation cannot be steered."
    if len(target.waiting) >= PENDING_LIMIT:
        return "too_many_pending_steers", f"{PENDING_LIMIT} submissions wait for this response already."
    return None


def _messages(given: str | list[SteerMessage]) -> list[dict[str, Any]]:
    """Return messages in the words of `response.create`. Raises ValueError."""
    if not given:
        raise ValueError("'input' is empty")

    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}]

    for message in given:
        for part in message.content if isinstance(message.content, list) else ():
            if part.get("type") not in _PARTS:
                raise ValueError("'input' may hold input_text, input_image and input_file only")
    return [{"type": "message", "role": "user", "content": each.content} for each in given]


def _owed(output: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return stubs of what the client must answer before the response can go on."""
    owed: list[dict[str, Any]] = []
    for item in output:
        kind = item["type"]
        if kind == "mcp_approval_request":
            owed.append({"type": "mcp_approval_response", "approval_request_id": item["id"]})
        elif kind in _OUTPUTS:
            stub = {"type": _OUTPUTS[kind], "call_id": item["call_id"]}
            owed.append({**stub, "name": item["name"]} if kind == "function_call" else stub)
    return owed


def _lenient(frame: Mapping[str, Any]) -> dict[str, Any]:
    """Return a submission as it came, for handing it back."""
    response = frame.get("previous_response_id")
    return {
        "previous_response_id": response if isinstance(response, str) else "",
        "input": frame.get("input", ""),
    }
