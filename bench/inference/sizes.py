"""How large the workloads are: the real thing, a quick look, and a smoke test whose figures mean nothing."""

from typing import NamedTuple


class Sizes(NamedTuple):
    """Numbers of the workloads. Lengths of prompts are in words of about one token each."""

    rounds: int = 2
    """How often each server is started and measured."""
    prefix: int = 1000
    """Of what requests share, and of a prompt that nobody shares."""
    suffix: int = 50
    """Of what a request adds."""
    at_once: int = 8
    answer: int = 64
    agent_answer: int = 32
    crews: tuple[tuple[int, int], ...] = ((8, 4), (16, 3))
    """Agents and the turns that each takes."""
    decode_answer: int = 128
    intrusions: int = 3
    running_answer: int = 160
    """Of the stream that another prompt disturbs."""
    running_start: int = 20
    """Pieces that it must have received before that."""
    objects: int = 16
    object_tokens: int = 256
    objects_at_once: int = 4
    pairs: int = 60
    """Of requests over HTTP and to the engine, for the server's own time."""


FULL = Sizes()
QUICK = Sizes(
    rounds=1,
    prefix=500,
    suffix=30,
    answer=32,
    agent_answer=16,
    crews=((8, 3), (16, 2)),
    decode_answer=64,
    intrusions=1,
    running_answer=96,
    objects=8,
    pairs=30,
)
SMOKE = Sizes(
    rounds=1,
    prefix=40,
    suffix=8,
    at_once=2,
    answer=4,
    agent_answer=3,
    crews=((2, 2),),
    decode_answer=4,
    intrusions=1,
    running_answer=24,
    running_start=4,
    objects=2,
    object_tokens=48,
    objects_at_once=2,
    pairs=4,
)
SIZES = {"full": FULL, "quick": QUICK, "smoke": SMOKE}
