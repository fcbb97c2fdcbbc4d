"""Where a conversation may be cut, and how long it is, estimated: a call and its result are never split.

Lengths are guesses from characters; what a model counted of the last prompt corrects them.
"""

from collections.abc import Sequence

from runtime.core.agents.fold import RunState
from runtime.core.agents.items import (
    Answered,
    AnyItem,
    Called,
    Decided,
    Foreign,
    Part,
    Picture,
    Said,
    Thought,
    Wanted,
)

CHARACTERS_PER_TOKEN = 3.5
"""Of English and JSON; a little less than models really need, so that guesses are rather too high."""
_ITEM_TOKENS = 6
"""What a template puts around a message."""
_PICTURE_TOKENS = 600
ANSWER_SHARE = 0.15
"""Of the context, kept free for the answer where the plan does not say how long it may be."""
TRIMMED_SHARE = 0.7
"""Of what fits: once something must go so much goes that the next turns keep their beginning."""


def find_cuts(conversation: Sequence[AnyItem], first: int = 0) -> list[int]:
    """Return the places after `first` at which a conversation can begin anew.

    Nothing that belongs together is split there.
    """
    last_of: dict[str, int] = {}
    for at, item in enumerate(conversation):
        for key in _keys(item):
            last_of[key] = at

    cuts: list[int] = []
    reach = -1
    for at, item in enumerate(conversation):
        is_within = at > 0 and _is_assistants(conversation[at - 1]) and _is_assistants(item)
        if at > first and reach < at and not is_within:
            cuts.append(at)
        reach = max(reach, *(last_of[key] for key in _keys(item)), at)
    return cuts


def estimate_tokens(items: Sequence[AnyItem]) -> int:
    """Guess how many tokens items take in a prompt."""
    return sum(_ITEM_TOKENS + _tokens_of(each) for each in items)


def expect_tokens(state: RunState) -> int:
    """Guess how long the next prompt is: from the last one, and what came since."""
    items = [*state.prompt_items, *state.pending]
    last = state.last_usage
    if not last.prompt_tokens:
        plan = state.plan
        tools = sum(len(each.description) + len(str(each.parameters or "")) for each in plan.tools)
        summary = len(state.summary.summary) if state.summary else 0
        told = (len(plan.instructions) + summary + tools) / CHARACTERS_PER_TOKEN
        return int(told) + estimate_tokens(items)

    newest = next((at for at in reversed(range(len(items))) if _is_assistants(items[at])), -1)
    return last.prompt_tokens + last.completion_tokens + estimate_tokens(items[newest + 1 :])


def room_of(state: RunState, context_tokens: int) -> int:
    """Return how long a prompt may be."""
    answer = state.plan.sampling.max_tokens
    share = int(context_tokens * ANSWER_SHARE)
    return context_tokens - (share if answer is None else min(answer, context_tokens // 2))


def decide_hidden(state: RunState, context_tokens: int | None) -> int:
    """Return how many of the oldest items the next prompt leaves out; never fewer than the last one did."""
    conversation = [*state.conversation, *state.pending]
    first = max(state.dropped, state.hidden)
    if context_tokens is None or not state.plan.is_truncated:
        return first

    excess = expect_tokens(state) - room_of(state, context_tokens)
    if excess <= 0:
        return first

    surplus = expect_tokens(state) - int(room_of(state, context_tokens) * TRIMMED_SHARE)
    return hide(conversation, first, surplus)


def hide(conversation: Sequence[AnyItem], first: int, tokens: int) -> int:
    """Return the first place after which so many tokens less remain; the last one there is where none do."""
    chosen = first
    for cut in find_cuts(conversation, first):
        chosen = cut
        if estimate_tokens(conversation[first:cut]) >= tokens:
            break
    return chosen


def hide_half(conversation: Sequence[AnyItem], first: int) -> int | None:
    """Return where about half of what is left begins; None where nothing can go."""
    cuts = find_cuts(conversation, first)
    return cuts[len(cuts) // 2] if cuts else None


def _keys(item: AnyItem) -> tuple[str, ...]:
    match item:
        case Called():
            return (item.call_id, item.approval) if item.approval else (item.call_id,)
        case Answered():
            return (item.call_id,)
        case Wanted():
            return (item.call_id, item.id)
        case Decided():
            return (item.wanted,)
        case _:
            return ()


def _is_assistants(item: AnyItem) -> bool:
    return isinstance(item, Thought | Called | Wanted) or (
        isinstance(item, Said) and item.role == "assistant"
    )


def _tokens_of(item: AnyItem) -> int:
    match item:
        case Said() | Answered():
            return sum(map(_part_tokens, item.parts))
        case Thought() | Foreign():
            return _text_tokens(item.text)
        case Called():
            return _text_tokens(item.name + item.arguments)
        case _:
            return 0


def _part_tokens(part: Part) -> int:
    return _PICTURE_TOKENS if isinstance(part, Picture) else _text_tokens(part.text)


def _text_tokens(text: str) -> int:
    return int(len(text) / CHARACTERS_PER_TOKEN) + 1
