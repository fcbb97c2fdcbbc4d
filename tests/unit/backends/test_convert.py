"""What the worker says of an end reaches the core whole."""

from runtime.backends.convert import to_output
from runtime.backends.protocol import Finished
from runtime.core.messages import Ended, Usage


def test_an_end_keeps_its_stop_string_and_its_counts() -> None:
    frame = Finished(
        seq=1,
        reason="stop",
        prompt_tokens=1,
        completion_tokens=2,
        cached_tokens=3,
        reasoning_tokens=4,
        drafted_tokens=5,
        accepted_tokens=6,
        forced_tokens=7,
        stop="STOP",
    )

    usage = Usage(
        prompt_tokens=1,
        completion_tokens=2,
        cached_tokens=3,
        reasoning_tokens=4,
        drafted_tokens=5,
        accepted_tokens=6,
        forced_tokens=7,
    )
    assert to_output(frame) == Ended(reason="stop", usage=usage, stop="STOP")
