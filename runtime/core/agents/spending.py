"""What a run has used of its limits: which of them forbids another turn, and how long that turn may be."""

from runtime.core.agents.fold import RunState


def find_spent(state: RunState) -> str | None:
    """Return the limit that forbids another turn, None where one may begin."""
    limits = state.plan.limits
    if state.turns >= limits.turns:
        return "turns"

    if limits.tokens is not None and state.usage.total_tokens >= limits.tokens:
        return "tokens"

    left = tokens_left(state)
    return "max_output_tokens" if left is not None and left <= 0 else None


def tokens_left(state: RunState) -> int | None:
    """Return how many tokens the next turn may give; None: as many as the model can.

    A response's `max_output_tokens` is for all its turns together; an agent's is for each.
    """
    most = state.plan.sampling.max_tokens
    if most is not None and state.plan.door == "responses":
        most -= state.usage.completion_tokens
    left = None if state.plan.limits.tokens is None else state.plan.limits.tokens - state.usage.total_tokens
    known = [each for each in (most, left, state.plan.turn_tokens) if each is not None]
    return min(known) if known else None
