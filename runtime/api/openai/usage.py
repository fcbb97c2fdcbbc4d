"""Tokens taken, as OpenAI counts and writes them."""

from collections import defaultdict

import msgspec

from runtime.core.messages import Usage


class PromptDetails(msgspec.Struct, kw_only=True):
    """What the prompt's tokens were."""

    cached_tokens: int = 0
    audio_tokens: int = 0


class CompletionDetails(msgspec.Struct, kw_only=True):
    """What the answer's tokens were. Predictions are those that a client sends: none are taken here."""

    reasoning_tokens: int = 0
    audio_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0


class WireUsage(msgspec.Struct, kw_only=True):
    """Tokens of the whole completion."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails


class Tally:
    """The usage of one request: the answers of a run share one prompt, so it counts once per run.

    What was cached of it is what the first of them to be computed found: the smallest number.
    """

    def __init__(self) -> None:
        self._ended: defaultdict[int, list[Usage]] = defaultdict(list)

    def add(self, usage: Usage, *, run: int = 0) -> None:
        """Note that an answer ended; `run` numbers the runs of a request that has several."""
        self._ended[run].append(usage)

    def total(self) -> Usage:
        """Return the sum."""
        every = [usage for run in self._ended.values() for usage in run]
        return Usage(
            prompt_tokens=sum(max(each.prompt_tokens for each in run) for run in self._ended.values()),
            completion_tokens=sum(each.completion_tokens for each in every),
            cached_tokens=sum(min(each.cached_tokens for each in run) for run in self._ended.values()),
            reasoning_tokens=sum(each.reasoning_tokens for each in every),
            drafted_tokens=sum(each.drafted_tokens for each in every),
            accepted_tokens=sum(each.accepted_tokens for each in every),
            forced_tokens=sum(each.forced_tokens for each in every),
        )


def usage_on_wire(usage: Usage) -> WireUsage:
    """Return what clients read."""
    return WireUsage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.total_tokens,
        prompt_tokens_details=PromptDetails(cached_tokens=usage.cached_tokens),
        completion_tokens_details=CompletionDetails(reasoning_tokens=usage.reasoning_tokens),
    )
