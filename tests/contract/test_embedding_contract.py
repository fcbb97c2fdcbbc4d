"""The laws of vectors, scores and tokens, for every engine that offers them; see test_engine_contract."""

from collections.abc import Iterator

import pytest

from runtime.backends.engines.embedding.vectors import cosine, pack_unit, unpack
from runtime.backends.protocol import Embed, Rerank, Work
from tests.contract.test_engine_contract import SUBJECTS, Desk
from tests.kit.engine_laws import Ledger


@pytest.fixture(scope="module", params=list(SUBJECTS.values()), ids=list(SUBJECTS))
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    desk = Desk(request.param)
    yield desk
    desk.engine.close()


@pytest.fixture
def ledger(desk: Desk) -> Iterator[Ledger]:
    ledger = Ledger(desk.engine)
    yield ledger
    ledger.drain()


def test_inputs_become_vectors_of_one_length_in_their_order(desk: Desk, ledger: Ledger) -> None:
    texts = ["A cat sits on the mat.", "cat", "Stock markets fell today. " * 10, "The sea is calm."]

    account = ledger.play(desk.embed(*texts))

    assert len(account.vectors) == len(texts)
    assert {len(vector) for vector in account.vectors} == {4 * desk.facts.dimensions}
    assert account.end.reason == "stop"
    assert account.end.completion_tokens == 0
    alone = [ledger.play(desk.embed(text)).vectors[0] for text in texts]
    for place, vector in enumerate(account.vectors):
        alike = [cosine(vector, other) for other in alone]
        assert max(alike) == alike[place]
        assert alike[place] > 0.97


def test_texts_of_like_words_lie_nearer_than_others(desk: Desk, ledger: Ledger) -> None:
    one, near, far = ledger.play(
        desk.embed("the cat sat on the mat", "a cat on a mat", "interest rates rose in march")
    ).vectors

    assert cosine(one, near) > cosine(one, far) + 0.2


def test_fewer_dimensions_are_the_beginning_of_the_vector_made_unit_again(desk: Desk, ledger: Ledger) -> None:
    whole = ledger.play(desk.embed("Good morning, house!")).vectors[0]

    short = ledger.play(desk.embed("Good morning, house!", dimensions=16)).vectors[0]

    assert len(short) == 64
    assert cosine(short, pack_unit(unpack(whole), 16)) > 0.9999


def test_more_dimensions_than_the_model_has_are_refused_by_name(desk: Desk, ledger: Ledger) -> None:
    account = ledger.play(desk.embed("Hi", dimensions=desk.facts.dimensions + 1))

    assert account.fault is not None
    assert (account.fault.code, account.fault.param) == ("invalid_request", "dimensions")
    assert str(desk.facts.dimensions) in account.fault.message


def test_tokens_are_taken_in_place_of_texts(desk: Desk, ledger: Ledger) -> None:
    told = ledger.play(desk.tokenize("where is the house", adds_special=False)).told
    assert told is not None

    text, tokens = ledger.play(desk.embed("where is the house", told.tokens)).vectors

    assert cosine(text, tokens) > 0.99


@pytest.mark.parametrize("foreign", [-1, 2**40])
def test_a_token_that_is_none_is_refused_with_its_place(desk: Desk, ledger: Ledger, foreign: int) -> None:
    account = ledger.play(desk.embed("fine", [5, foreign]))

    assert account.fault is not None
    assert (account.fault.code, account.fault.param) == ("invalid_request", "input[1]")
    assert str(foreign) in account.fault.message


def test_an_input_beyond_the_limit_fails_with_its_place_and_both_numbers(desk: Desk, ledger: Ledger) -> None:
    account = ledger.play(desk.embed("short", "house " * (desk.facts.context_tokens + 40)))

    assert account.fault is not None
    assert (account.fault.code, account.fault.param) == ("context_length_exceeded", "input[1]")
    assert str(desk.facts.context_tokens) in account.fault.message
    assert account.started is None


def test_a_short_query_does_not_wait_for_many_documents(desk: Desk, ledger: Ledger) -> None:
    many = ledger.submit(desk.embed(*["A long document about houses. " * 20] * 60))
    query = ledger.submit(desk.embed("a house", priority="interactive"))

    while not query.is_over:
        ledger.step()

    assert query.end.reason == "stop"
    assert not many.is_over


def test_a_blocked_embedding_stands_still_and_can_be_cancelled(desk: Desk, ledger: Ledger) -> None:
    account = ledger.submit(desk.embed("one house", "two houses"))
    for _ in range(5):
        assert ledger.step({account.request.seq}) == []
    assert not account.is_over

    ledger.cancel(account.request.seq)
    ledger.step({account.request.seq})

    assert account.end.reason == "cancelled"


def test_an_embedding_can_be_cancelled_between_two_steps(desk: Desk, ledger: Ledger) -> None:
    account = ledger.submit(desk.embed(*["A long document about houses. " * 20] * 60))
    ledger.step()
    assert account.started is not None
    assert not account.is_over

    ledger.cancel(account.request.seq)
    ledger.step()

    assert account.end.reason == "cancelled"
    assert account.end.prompt_tokens == account.started.prompt_tokens


def test_documents_are_scored_by_how_well_they_fit(desk: Desk, ledger: Ledger) -> None:
    account = ledger.play(
        desk.rerank("where is the house", "shares fell today", "the house is at the lake", "a calm sea")
    )

    assert account.scores is not None
    assert max(account.scores) == account.scores[1]
    assert account.end.completion_tokens == 0


def test_tokens_and_text_lead_to_each_other(desk: Desk, ledger: Ledger) -> None:
    told = ledger.play(desk.tokenize("good morning house", adds_special=False)).told
    assert told is not None

    text = ledger.play(desk.detokenize(*told.tokens)).text

    assert text.strip() == "good morning house"
    assert all(told.pieces)


def test_a_text_without_tokens_has_none(desk: Desk, ledger: Ledger) -> None:
    told = ledger.play(desk.tokenize("", adds_special=False)).told

    assert told is not None
    assert told.tokens == []
    assert ledger.play(desk.detokenize()).text == ""


def test_work_that_the_engine_does_not_do_is_refused_by_name(desk: Desk, ledger: Ledger) -> None:
    work: list[Work] = []
    if not desk.subject.writes:
        work.append(desk.ask("Say hello."))
    if "embeddings" not in desk.subject.features:
        work.append(Embed(seq=10**9, inputs=["a house"]))
    if "rerank" not in desk.subject.features:
        work.append(Rerank(seq=10**9 + 1, query="a house", documents=["a sea"]))

    for each in work:
        account = ledger.play(each)
        assert account.fault is not None
        assert account.fault.code == "unsupported_parameter"
