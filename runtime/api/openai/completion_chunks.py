"""What a plain completion looks like on the way out: the chunks of a stream, and the whole answer.

Choices are numbered prompt by prompt: answer j of prompt i is choice i * n + j. Pure: outputs in, bytes out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from runtime.api.openai.chunks import Heading
from runtime.api.openai.legacy_logprobs import LegacyLogprobs, LegacyWriter, mean_logprob
from runtime.api.openai.usage import WireUsage, usage_on_wire
from runtime.core.messages import Began, ChosenLogprob, Delta, Ended, FinishReason, Usage

_encode = msgspec.json.Encoder().encode


class WireChoice(msgspec.Struct, kw_only=True):
    """One choice, or a piece of it."""

    index: int
    text: str
    logprobs: LegacyLogprobs | None = None
    finish_reason: FinishReason | None = None


class WireCompletion(msgspec.Struct, kw_only=True):
    """The whole answer, or one event of the stream: both have the same form."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    system_fingerprint: str
    service_tier: str | UnsetType = UNSET
    choices: list[WireChoice]
    usage: WireUsage | UnsetType | None = UNSET


class CompletionChunks:
    """Encodes the chunks of one stream."""

    def __init__(self, heading: Heading, *, choices: int, has_usage: bool, has_logprobs: bool) -> None:
        self._heading = heading
        self._usage: UnsetType | None = None if has_usage else UNSET
        self._writers = [LegacyWriter() for _ in range(choices)] if has_logprobs else None

    def delta(self, index: int, delta: Delta) -> bytes | None:
        """Return the chunk for a delta; None where it adds nothing that a client could see."""
        logprobs = None
        if self._writers is not None and delta.logprobs:
            logprobs = self._writers[index].write(delta.logprobs)
        if not delta.text and logprobs is None:
            return None

        return self._chunk(WireChoice(index=index, text=delta.text, logprobs=logprobs))

    def closing(self, index: int, reason: FinishReason) -> bytes:
        """Return the last chunk of a choice."""
        return self._chunk(WireChoice(index=index, text="", finish_reason=reason))

    def usage(self, usage: Usage) -> bytes:
        """Return the chunk that tells the usage; it has no choices."""
        return _encode(_make(self._heading, [], usage_on_wire(usage)))

    def _chunk(self, choice: WireChoice) -> bytes:
        return _encode(_make(self._heading, [choice], self._usage))


@dataclass(slots=True)
class _Draft:
    """One answer while it is gathered."""

    prompt_tokens: int = 0
    text: list[str] = field(default_factory=list)
    logprobs: list[ChosenLogprob] = field(default_factory=list)
    reason: FinishReason = "stop"


class CompletionAnswer:
    """Gathers the answers to all prompts, and keeps the best `wanted` of those made for each."""

    def __init__(self, *, prompts: int, generated: int, wanted: int, is_echoed: bool) -> None:
        self._drafts = [[_Draft() for _ in range(generated)] for _ in range(prompts)]
        self._wanted = wanted
        self._is_echoed = is_echoed

    def add(self, prompt: int, index: int, output: Began | Delta | Ended) -> None:
        """Add an output of one answer to one prompt."""
        draft = self._drafts[prompt][index]
        match output:
            case Began():
                draft.prompt_tokens = output.prompt_tokens
            case Delta():
                draft.text.append(output.text)
                draft.logprobs += output.logprobs
            case Ended():
                draft.reason = output.reason

    def encode(self, heading: Heading, usage: Usage, *, has_logprobs: bool) -> bytes:
        """Return the whole answer."""
        chosen = [draft for drafts in self._drafts for draft in self._best(drafts)]
        choices = [
            WireChoice(
                index=index,
                text="".join(draft.text),
                logprobs=LegacyWriter().write(draft.logprobs) if has_logprobs else None,
                finish_reason=draft.reason,
            )
            for index, draft in enumerate(chosen)
        ]
        return _encode(_make(heading, choices, usage_on_wire(usage)))

    def _best(self, drafts: Sequence[_Draft]) -> Sequence[_Draft]:
        if len(drafts) == self._wanted:
            return drafts

        return sorted(drafts, key=self._likelihood, reverse=True)[: self._wanted]

    def _likelihood(self, draft: _Draft) -> float:
        """Weigh what was generated, not the prompt in front of it."""
        return mean_logprob(draft.logprobs[draft.prompt_tokens if self._is_echoed else 0 :])


def _make(heading: Heading, choices: list[WireChoice], usage: WireUsage | UnsetType | None) -> WireCompletion:
    return WireCompletion(
        id=heading.id,
        created=heading.created,
        model=heading.model,
        system_fingerprint=heading.system_fingerprint,
        service_tier=heading.service_tier,
        choices=choices,
        usage=usage,
    )
