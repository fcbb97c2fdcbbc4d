"""Pictures in chats: the real library and text model, with a projector whose weights are made up."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.backends.engines.contract import LoadRefused
from runtime.backends.protocol import Fault, Generate, Sampling, Tokenize, Tuning
from tests.kit.engine_laws import Account, Ledger
from tests.kit.eye_gguf import PICTURE_TOKENS, png, write_projector
from tests.kit.remote_engine import Child, RemoteEngine, open_child

pytestmark = pytest.mark.engine

WIDTH = 576
"""Of the text model."""
RED, BLUE = png((255, 0, 0)), png((0, 0, 255))
SAMPLING = Sampling(temperature=0.0, max_tokens=4, logprobs=3)


@pytest.fixture(scope="module")
def child(llama_python: str) -> Iterator[Child]:
    with open_child(llama_python, "llama") as child:
        yield child


@pytest.fixture(scope="module")
def eye(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("eye") / "eye.gguf"
    write_projector(path, WIDTH)
    return path


@pytest.fixture
def engine(child: Child, smollm2_path: Path, eye: Path) -> Iterator[RemoteEngine]:
    engine = child.create()
    facts = engine.load(str(smollm2_path), Tuning(context_tokens=1024, projector=str(eye)), lambda _: None)
    assert "images" in (facts.features or ())
    yield engine
    engine.close()


@pytest.fixture
def ledger(engine: RemoteEngine) -> Ledger:
    return Ledger(engine)


def show(seq: int, *parts: str | bytes) -> Generate:
    content: list[dict[str, Any]] = [
        {"type": "text", "text": part} if isinstance(part, str) else {"type": "image", "data": part}
        for part in parts
    ]
    return Generate(seq=seq, messages=[{"role": "user", "content": content}], sampling=SAMPLING)


def chances(account: Account) -> list[float]:
    return [choice.chosen.logprob for choice in account.choices]


def refusal(account: Account) -> Fault:
    assert account.fault is not None
    return account.fault


def test_a_picture_is_part_of_the_prompt_and_of_what_is_answered(ledger: Ledger) -> None:
    blind = ledger.play(show(1, "What is  this?"))
    red = ledger.play(show(2, "What is ", RED, " this?"))
    blue = ledger.play(show(3, "What is ", BLUE, " this?"))

    assert PICTURE_TOKENS <= red.end.prompt_tokens - blind.end.prompt_tokens <= PICTURE_TOKENS + 2
    assert blue.end.prompt_tokens == red.end.prompt_tokens
    assert chances(red) != chances(blue)


def test_a_picture_that_was_shown_before_is_found_and_changes_nothing(ledger: Ledger) -> None:
    first = ledger.play(show(1, "What is ", RED, " this?"))
    again = ledger.play(show(2, "What is ", RED, " this?"))
    other = ledger.play(show(3, "What is ", BLUE, " this?"))

    assert again.end.cached_tokens == first.end.prompt_tokens - 1
    assert again.text == first.text
    assert other.end.cached_tokens < first.end.prompt_tokens - PICTURE_TOKENS


def test_two_pictures_stand_in_their_order_and_a_long_text_may_follow(ledger: Ledger) -> None:
    text = " Tell me all about them." * 60
    one = ledger.play(show(1, RED, "and", BLUE, text))
    other = ledger.play(show(2, BLUE, "and", RED, text))

    assert one.end.prompt_tokens == other.end.prompt_tokens > 2 * PICTURE_TOKENS + 300
    assert chances(one) != chances(other)


def test_pictures_are_counted_where_tokens_are_asked_for(ledger: Ledger) -> None:
    counted = ledger.play(Tokenize(seq=1, chat=show(1, "What is ", RED, " this?")))
    asked = ledger.play(show(2, "What is ", RED, " this?"))

    assert counted.told is not None
    assert len(counted.told.tokens) == asked.end.prompt_tokens
    assert counted.told.tokens.count(-1) == PICTURE_TOKENS


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (RED[:60], "Picture 2 of the messages is damaged"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "WebP"),
        (b"ID3 a song", "no format that this engine knows"),
    ],
)
def test_what_is_no_picture_is_refused_by_its_number(ledger: Ledger, data: bytes, words: str) -> None:
    fault = refusal(ledger.play(show(1, RED, "and", data)))

    assert (fault.code, fault.param) == ("invalid_request", "messages")
    assert words in fault.message


def test_pictures_beyond_the_context_are_refused_before_they_are_computed(ledger: Ledger) -> None:
    fault = refusal(ledger.play(show(1, *[RED] * 64)))

    assert fault.code == "context_length_exceeded"


def test_a_model_without_a_projector_says_that_it_cannot_see(child: Child, smollm2_path: Path) -> None:
    engine = child.create()
    facts = engine.load(str(smollm2_path), Tuning(), lambda _: None)

    fault = refusal(Ledger(engine).play(show(1, "What is", RED)))

    assert "images" not in (facts.features or ())
    assert fault.code == "unsupported_parameter"
    assert "projector" in fault.message
    engine.close()


def load_fault(child: Child, weights: Path, projector: Path) -> Fault:
    with pytest.raises(LoadRefused) as caught:
        child.create().load(str(weights), Tuning(projector=str(projector)), lambda _: None)
    return caught.value.fault


def test_a_projector_of_another_model_is_refused_with_both_widths(
    child: Child, smollm2_path: Path, tmp_path: Path
) -> None:
    write_projector(tmp_path / "other.gguf", 64)

    fault = load_fault(child, smollm2_path, tmp_path / "other.gguf")

    assert fault.code == "model_broken"
    assert "n_embd = 576" in fault.message
    assert "n_embd = 64" in fault.message


def test_a_file_that_is_no_projector_is_refused(child: Child, smollm2_path: Path, tmp_path: Path) -> None:
    (tmp_path / "noise.gguf").write_bytes(b"GGUF" + bytes(100))

    assert "projector" in load_fault(child, smollm2_path, tmp_path / "noise.gguf").message
    assert "does not fit" in load_fault(child, smollm2_path, smollm2_path).message
