from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.engines.contract import StepFrame
from runtime.backends.engines.llama.answer import Answer
from runtime.backends.engines.llama.calls.reader import Reader
from runtime.backends.engines.llama.reasoning import ReasoningSplitter
from runtime.backends.engines.llama.recipe import Picked
from runtime.backends.engines.llama.seq import Seq
from runtime.backends.protocol import Alternative, Choice, Delta, Finished

END = 0


class Pieces:
    """Token n shows as the n-th piece; control tokens have a name only."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = (b"", *pieces)

    def show(self, token: int) -> bytes:
        return self._pieces[token]

    def name(self, token: int) -> bytes:
        return self._pieces[token] or b"<end>"


def make(*pieces: bytes, most: int = 99, stops: tuple[str, ...] = (), is_thinking: bool = False) -> Seq:
    splitter = ReasoningSplitter(is_inside=False) if is_thinking else None
    answer = Answer(Reader(splitter=splitter, stops=stops))
    seq = Seq(7, prompt_tokens=5, most_tokens=most, answer=answer, tokens=Pieces(*pieces))
    seq.is_started = True
    return seq


def play(seq: Seq, *tokens: int) -> list[StepFrame]:
    return [frame for token in tokens for frame in step(seq, token)]


def step(seq: Seq, *tokens: int) -> list[StepFrame]:
    """Take a step that brings these tokens, several where a draft was right."""
    for token in tokens:
        seq.accept(Picked(token), is_end=token == END)
    return seq.frames()


def cut(seq: Seq) -> list[StepFrame]:
    seq.cut_short()
    return seq.frames()


def finished(reason: str, completion: int, reasoning: int = 0, stop: str | None = None) -> Finished:
    return Finished(
        seq=7,
        reason=reason,  # type: ignore[arg-type]  # tests pass plain strings
        prompt_tokens=5,
        completion_tokens=completion,
        reasoning_tokens=reasoning,
        stop=stop,
    )


def test_each_token_is_a_delta_and_the_end_token_shows_nothing() -> None:
    assert play(make(b"Hel", b"lo"), 1, 2, END) == [
        Delta(seq=7, text="Hel"),
        Delta(seq=7, text="lo"),
        finished("stop", 2),
    ]


def test_a_character_in_two_tokens_comes_whole_and_counts_both() -> None:
    assert play(make(b"\xc3", b"\xa9"), 1, 2, END) == [Delta(seq=7, text="é", tokens=2), finished("stop", 2)]


def test_the_token_limit_ends_the_seq_and_shows_what_was_held_back() -> None:
    seq = make(b"a", b"\xc3", most=2)
    assert play(seq, 1, 2) == [Delta(seq=7, text="a"), Delta(seq=7, text="\ufffd"), finished("length", 2)]
    assert seq.is_over


def test_a_stop_string_across_tokens_ends_the_seq_and_is_not_shown() -> None:
    assert play(make(b"one E", b"ND two", stops=("END",)), 1, 2) == [
        Delta(seq=7, text="one "),
        Delta(seq=7, tokens=1),
        finished("stop", 2, stop="END"),
    ]


def test_a_stop_string_that_completes_with_the_last_token_is_a_stop() -> None:
    assert play(make(b"aX", most=1, stops=("X",)), 1) == [
        Delta(seq=7, text="a"),
        finished("stop", 1, stop="X"),
    ]


def test_text_that_might_have_become_a_stop_string_is_shown_at_the_end() -> None:
    assert play(make(b"one E", stops=("END",)), 1, END) == [
        Delta(seq=7, text="one "),
        Delta(seq=7, text="E", tokens=0),
        finished("stop", 1),
    ]


def test_reasoning_is_kept_apart_counted_and_not_stopped() -> None:
    seq = make(b"<think>", b"a END", b"</think>", b"yes", stops=("END",), is_thinking=True)
    assert play(seq, 1, 2, 3, 4, END) == [
        Delta(seq=7, reasoning="a END", tokens=2),
        Delta(seq=7, text="yes", tokens=2),
        finished("stop", 4, reasoning=3),
    ]


def test_log_probabilities_wait_for_no_text() -> None:
    seq = make(b"\xc3", b"\xa9")
    rivals = ((1, -0.5), (END, -1.5))
    seq.accept(Picked(1, -0.5, rivals), is_end=False)
    [delta] = seq.frames()
    chosen = Alternative(token="\ufffd", logprob=-0.5, data=b"\xc3")
    end = Alternative(token="<end>", logprob=-1.5, data=b"<end>")
    assert delta == Delta(seq=7, logprobs=[Choice(chosen=chosen, top=[chosen, end])])


def test_cutting_short_shows_what_was_held_back_and_cancelling_does_not() -> None:
    short, cancelled = make(b"E", stops=("END",)), make(b"E", stops=("END",))
    assert play(short, 1) == play(cancelled, 1) == []
    assert cut(short) == [Delta(seq=7, text="E"), finished("length", 1)]
    assert cancelled.cancel() == finished("cancelled", 1)


def test_several_tokens_of_one_step_are_one_delta() -> None:
    assert step(make(b"Hel", b"lo", b"!"), 1, 2, 3) == [Delta(seq=7, text="Hello!", tokens=3)]


def test_a_step_may_bring_the_last_tokens_and_the_end() -> None:
    assert step(make(b"a", b"b"), 1, 2, END) == [Delta(seq=7, text="ab", tokens=2), finished("stop", 2)]


def test_a_prompt_that_is_echoed_comes_before_the_answer() -> None:
    seq = make(b"b")
    seq.echo("a", [])
    assert step(seq, 1) == [Delta(seq=7, text="ab")]


def test_a_seq_that_never_started_took_no_prompt_tokens() -> None:
    seq = make()
    seq.is_started = False
    assert seq.cancel().prompt_tokens == 0


@given(st.lists(st.binary(max_size=5), max_size=10), st.booleans())
def test_deltas_joined_are_the_text_and_their_tokens_are_the_count(
    pieces: list[bytes], is_ended: bool
) -> None:
    seq = make(*pieces)
    frames = play(seq, *range(1, len(pieces) + 1), *([END] if is_ended else []))
    frames += [] if seq.is_over else cut(seq)
    deltas = [frame for frame in frames if isinstance(frame, Delta)]
    assert "".join(delta.text for delta in deltas) == b"".join(pieces).decode("utf-8", "replace")
    assert sum(delta.tokens for delta in deltas) == len(pieces)
    assert frames[-1] == finished("stop" if is_ended else "length", len(pieces))
