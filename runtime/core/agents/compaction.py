"""When a conversation is compacted, and how much of it a summary takes the place of.

The newest turns stay as they are, calls with their results; the user's last message is always kept
(`prompting`). A summary that the asker sees stands for all before it, since that is how it is read again.
"""

from collections.abc import Sequence
from typing import NamedTuple

from runtime.core.agents.fold import RunState
from runtime.core.agents.items import AnyItem, Said
from runtime.core.agents.trimming import estimate_tokens, expect_tokens, find_cuts

COMPACT_SHARE = 0.8
"""Of the context, where the plan names no number."""
_KEPT_SHARE = 0.25
"""Of the limit: as much of the newest stays as it is."""
_LEAST_SUMMARY, _MOST_SUMMARY, _SUMMARY_SHARE = 256, 4096, 0.1
"""Tokens of a summary: a share of the limit, within bounds."""


class Compaction(NamedTuple):
    """What is to be summarised."""

    items: tuple[AnyItem, ...]
    dropped: int
    """Items of the conversation that the summary will stand for."""
    limit_tokens: int
    is_output: bool


def may_compact(state: RunState) -> bool:
    """Say whether this run's conversation may be compacted at all: a response only where it was asked for."""
    return state.plan.compact_at_tokens is not None or state.plan.door != "responses"


def limit_of(state: RunState, context_tokens: int | None) -> int | None:
    """Return the length of a prompt from which on it is compacted; None: never."""
    if not may_compact(state):
        return None

    wanted = state.plan.compact_at_tokens
    share = None if context_tokens is None else int(context_tokens * COMPACT_SHARE)
    known = [each for each in (wanted, share) if each is not None]
    return min(known) if known else None


def decide_compaction(state: RunState, context_tokens: int | None) -> Compaction | None:
    """Return what to summarise before the next turn, None where its prompt is short enough."""
    limit = limit_of(state, context_tokens)
    if limit is None or expect_tokens(state) < limit:
        return None

    return plan_compaction(state, limit)


def plan_compaction(state: RunState, limit: int) -> Compaction | None:
    """Return what to summarise so that the prompt becomes much shorter than the limit, if anything can go."""
    first = max(state.dropped, state.hidden)
    is_output = state.plan.compact_at_tokens is not None and state.plan.door == "responses"
    dropped = _choose(state.conversation, first, limit, is_all=is_output)
    if dropped is None:
        return None

    items = state.conversation[state.dropped : dropped]
    return Compaction(
        items=(state.summary, *items) if state.summary is not None else tuple(items),
        dropped=dropped,
        limit_tokens=max(_LEAST_SUMMARY, min(_MOST_SUMMARY, int(limit * _SUMMARY_SHARE))),
        is_output=is_output,
    )


def _choose(conversation: Sequence[AnyItem], first: int, limit: int, *, is_all: bool) -> int | None:
    worth = next((at for at in range(first, len(conversation)) if not _is_asked(conversation[at])), None)
    if worth is None:
        return None  # questions alone: the last one is kept anyway

    if is_all:
        return len(conversation)

    cuts = [each for each in find_cuts(conversation, first) if each > worth]
    if not cuts:
        return None

    kept = limit * _KEPT_SHARE
    return next((cut for cut in cuts if estimate_tokens(conversation[cut:]) <= kept), cuts[-1])


def _is_asked(item: AnyItem) -> bool:
    return isinstance(item, Said) and item.role == "user"
