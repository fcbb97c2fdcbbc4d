"""The desk over an encoder that tests control: slices, failures, damage."""

import math
from collections.abc import Sequence

import pytest

from runtime.backends.engines.embedding.desk import Desk
from runtime.backends.engines.embedding.encoder import EncodeFailed
from runtime.backends.engines.embedding.vectors import unpack
from runtime.backends.protocol import (
    Detokenize,
    Embed,
    Embedded,
    Failed,
    Finished,
    Rerank,
    Scored,
    Started,
    Tokenize,
)


class NotedEncoder:
    """One token per character, a vector that counts them; notes what it was asked to compute."""

    name = "noted"
    limit = 100
    dimensions = 2
    vocabulary = 1000
    batch_tokens = 120
    is_padded = True

    def __init__(self, *, is_ranker: bool = False) -> None:
        self.is_ranker = is_ranker
        self.batches: list[list[int]] = []
        self.problem: Exception | None = None
        self.answer: list[float] | None = None
        self.is_closed = False

    def tokenize(self, text: str, *, adds_special: bool, parses_special: bool) -> list[int]:
        return [ord(each) for each in text]

    def wrap(self, tokens: Sequence[int]) -> list[int]:
        return list(tokens)

    def pair(self, query: str, document: str) -> list[int]:
        return [ord(each) for each in query + document]

    def spell(self, token: int) -> bytes:
        return chr(token).encode()

    def detokenize(self, tokens: Sequence[int]) -> str:
        return "".join(map(chr, tokens))

    def encode(self, rows: Sequence[Sequence[int]]) -> list[list[float]]:
        self.batches.append([len(row) for row in rows])
        if self.problem is not None:
            raise self.problem
        return [self.answer or [float(len(row)), 1.0] for row in rows]

    def close(self) -> None:
        self.is_closed = True


def steps_until_quiet(desk: Desk) -> list[object]:
    frames: list[object] = []
    for _ in range(1000):
        if not desk.is_busy():
            return frames
        frames += desk.step(frozenset())
    raise AssertionError("the desk does not end")


def test_inputs_of_several_seqs_share_a_batch_and_come_back_to_their_own() -> None:
    encoder = NotedEncoder()
    desk = Desk(encoder)
    desk.submit(Embed(seq=1, inputs=["a" * 30, "a" * 20]))
    desk.submit(Embed(seq=2, inputs=["b" * 25]))

    frames = steps_until_quiet(desk)

    assert encoder.batches == [[30, 25, 20]]
    told = {frame.seq: frame for frame in frames if isinstance(frame, Embedded)}
    assert [unpack(vector)[1] for vector in told[1].vectors] == pytest.approx(
        [1 / math.hypot(30, 1), 1 / math.hypot(20, 1)]
    )
    assert unpack(told[2].vectors[0])[1] == pytest.approx(1 / math.hypot(25, 1))


def test_vectors_come_in_the_order_of_their_inputs_though_long_ones_are_computed_first() -> None:
    encoder = NotedEncoder()
    desk = Desk(encoder)
    desk.submit(Embed(seq=1, inputs=["short", "l" * 100, "m" * 90]))

    frames = steps_until_quiet(desk)

    assert encoder.batches == [[100], [90], [5]]
    starts = [(frame.start, len(frame.vectors)) for frame in frames if isinstance(frame, Embedded)]
    assert starts == [(0, 3)]
    assert [type(frame) for frame in frames] == [Started, Embedded, Finished]


def test_long_texts_are_read_a_slice_at_a_time() -> None:
    desk = Desk(NotedEncoder())
    desk.submit(Embed(seq=1, inputs=["x" * 90] * 9000))

    assert desk.step(frozenset()) == []
    assert desk.is_busy()
    desk.cancel(1)
    (ended,) = desk.step(frozenset())

    assert ended == Finished(seq=1, reason="cancelled", prompt_tokens=0, completion_tokens=0)


def test_a_batch_that_cannot_be_computed_fails_all_that_have_a_part_in_it_and_nobody_else() -> None:
    encoder = NotedEncoder()
    desk = Desk(encoder)
    desk.submit(Embed(seq=1, inputs=["a" * 30]))
    desk.submit(Embed(seq=2, inputs=["b" * 25, "b"]))
    desk.submit(Embed(seq=3, inputs=["c" * 100]))
    encoder.problem = EncodeFailed("no room")

    frames = desk.step(frozenset())
    encoder.problem = None
    rest = steps_until_quiet(desk)

    failed = [frame for frame in frames if isinstance(frame, Failed)]
    assert [frame.seq for frame in failed] == [1, 2]
    assert all(frame.fault.code == "engine_failed" and "no room" in frame.fault.message for frame in failed)
    assert [type(frame) for frame in rest] == [Embedded, Finished]


@pytest.mark.parametrize("answer", [[0.0, 0.0], [math.nan, 1.0]])
def test_damaged_weights_fail_the_seq_and_say_so(answer: list[float]) -> None:
    encoder = NotedEncoder()
    encoder.answer = answer
    desk = Desk(encoder)
    desk.submit(Embed(seq=1, inputs=["a"]))

    frames = steps_until_quiet(desk)

    assert isinstance(frames[-1], Failed)
    assert "weights are damaged" in frames[-1].fault.message


def test_a_ranker_reads_each_document_with_the_query() -> None:
    encoder = NotedEncoder(is_ranker=True)
    desk = Desk(encoder)
    desk.submit(Rerank(seq=1, query="ab", documents=["cde", "f"]))

    frames = steps_until_quiet(desk)

    assert encoder.batches == [[5, 3]]
    (scored,) = [frame for frame in frames if isinstance(frame, Scored)]
    assert scored.scores == pytest.approx([1 / (1 + math.exp(-5)), 1 / (1 + math.exp(-3))])


@pytest.mark.parametrize("length", [99, 7000])
def test_a_document_that_is_too_long_with_its_query_is_refused_by_its_place(length: int) -> None:
    encoder = NotedEncoder(is_ranker=True)
    desk = Desk(encoder)
    desk.submit(Rerank(seq=1, query="ab", documents=["fine", "x" * length]))

    (failed,) = steps_until_quiet(desk)

    assert encoder.batches == []

    assert isinstance(failed, Failed)
    assert (failed.fault.code, failed.fault.param) == ("context_length_exceeded", "documents[1]")


@pytest.mark.parametrize(("length", "size"), [(100, "100 tokens"), (7000, "7000 characters")])
def test_a_query_that_leaves_no_room_for_a_document_is_refused_by_name(length: int, size: str) -> None:
    desk = Desk(NotedEncoder(is_ranker=True))
    desk.submit(Rerank(seq=1, query="q" * length, documents=["fine", "x"]))

    (failed,) = steps_until_quiet(desk)

    assert isinstance(failed, Failed)
    assert (failed.fault.code, failed.fault.param) == ("context_length_exceeded", "query")
    assert size in failed.fault.message


def test_a_long_query_is_counted_with_every_document_that_it_is_read_with() -> None:
    desk = Desk(NotedEncoder(is_ranker=True))
    desk.submit(Rerank(seq=1, query="q" * 90, documents=["x"] * 5000))

    assert desk.step(frozenset()) == []
    assert desk.is_busy()


@pytest.mark.parametrize("is_ranker", [True, False])
def test_a_ranking_that_is_read_in_slices_is_told_once_and_whole(*, is_ranker: bool) -> None:
    desk = Desk(NotedEncoder(is_ranker=is_ranker))
    desk.submit(Rerank(seq=1, query="ab", documents=["x" * 90] * 5000))

    assert desk.step(frozenset()) == []
    frames: list[object] = [frame for _ in range(6) for frame in desk.step(frozenset())]
    desk.cancel(1)
    frames += steps_until_quiet(desk)

    assert not [frame for frame in frames if isinstance(frame, Scored)]
    assert isinstance(frames[-1], Finished)
    assert frames[-1].reason == "cancelled"


def test_a_ranking_without_documents_has_no_scores() -> None:
    desk = Desk(NotedEncoder())
    desk.submit(Rerank(seq=1, query="ab", documents=[]))

    assert [frame for frame in steps_until_quiet(desk) if isinstance(frame, Scored)] == [
        Scored(seq=1, scores=[])
    ]


def test_an_input_without_tokens_is_refused_with_its_place() -> None:
    desk = Desk(NotedEncoder())
    desk.submit(Embed(seq=1, inputs=["fine", ""]))

    (failed,) = steps_until_quiet(desk)

    assert isinstance(failed, Failed)
    assert (failed.fault.code, failed.fault.param) == ("invalid_request", "input[1]")


def test_a_text_of_too_many_characters_is_not_even_read() -> None:
    desk = Desk(NotedEncoder())
    desk.submit(Embed(seq=1, inputs=["x" * 7000]))

    (failed,) = steps_until_quiet(desk)

    assert isinstance(failed, Failed)
    assert failed.fault.code == "context_length_exceeded"
    assert "7000 characters" in failed.fault.message


def test_a_text_beyond_what_one_step_may_read_is_refused_by_the_tokenizer() -> None:
    desk = Desk(NotedEncoder())
    desk.submit(Tokenize(seq=1, text="x" * 1_000_001))

    (failed,) = steps_until_quiet(desk)

    assert isinstance(failed, Failed)
    assert failed.fault.param == "content"


def test_tokens_beyond_the_vocabulary_are_no_text() -> None:
    desk = Desk(NotedEncoder())
    desk.submit(Detokenize(seq=1, tokens=[65, 1000]))

    (failed,) = steps_until_quiet(desk)

    assert isinstance(failed, Failed)
    assert "1000" in failed.fault.message


def test_what_was_computed_and_what_was_padded_is_counted() -> None:
    desk = Desk(NotedEncoder())
    desk.submit(Embed(seq=1, inputs=["a" * 30, "a" * 20]))

    steps_until_quiet(desk)

    gauges = desk.gauges()
    assert (gauges["embedded_tokens"], gauges["padding_tokens"], gauges["seqs_live"]) == (50, 10, 0)


def test_closing_frees_the_model_and_drops_what_lives() -> None:
    encoder = NotedEncoder()
    desk = Desk(encoder)
    desk.submit(Embed(seq=1, inputs=["a"]))

    desk.close()

    assert encoder.is_closed
    assert not desk.is_busy()


def test_the_model_is_shared_between_those_who_ask_and_not_between_their_requests() -> None:
    encoder = NotedEncoder()
    desk = Desk(encoder)
    for seq in range(1, 9):
        desk.submit(Embed(seq=seq, inputs=["a" * 100], principal="many"))
    desk.submit(Embed(seq=9, inputs=["b" * 100], principal="one"))

    ended = [frame.seq for frame in steps_until_quiet(desk) if isinstance(frame, Finished)]

    assert ended.index(9) == 1


def test_a_newcomer_does_not_catch_up_on_what_others_had_before() -> None:
    desk = Desk(NotedEncoder())
    for seq in range(1, 9):
        desk.submit(Embed(seq=seq, inputs=["a" * 100], principal="first"))
    for _ in range(4):
        desk.step(frozenset())
    for seq in range(11, 15):
        desk.submit(Embed(seq=seq, inputs=["b" * 100], principal="second"))

    ended = [frame.seq for frame in steps_until_quiet(desk) if isinstance(frame, Finished)]

    assert [seq for seq in ended[:4] if seq < 10], "both go on, in turns"
    assert [seq for seq in ended[:4] if seq > 10]
