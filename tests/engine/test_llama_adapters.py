"""LoRA adapters per request: made-up ones over real weights."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from runtime.backends.engines.contract import LoadRefused
from runtime.backends.protocol import Generate, RawPrompt, Sampling, Tuning
from tests.kit.engine_laws import Account, Ledger
from tests.kit.lora_gguf import SMOLLM2, Shape, write_adapter
from tests.kit.remote_engine import Child, RemoteEngine, open_child

pytestmark = pytest.mark.engine

NOISE = 0.25
"""How far the logarithms of one token's probability may lie apart in two computations of the same."""
NUMBERS = count(1)
TEXT = (
    "The harbour lay quiet under the morning fog, and the boats had not yet gone out. An old man mended his "
    "nets on the stones, as he had done each day for forty years, and counted the gulls on the"
)
BIG = 1 << 28


@pytest.fixture(scope="module")
def child(llama_python: str) -> Iterator[Child]:
    with open_child(llama_python, "llama") as child:
        yield child


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("adapters")
    seeds = {"pirate": 1, "poet": 2}
    for name, seed in seeds.items():
        write_adapter(folder / f"{name}.gguf", SMOLLM2, seed)
    write_adapter(folder / "mute.gguf", SMOLLM2, 3, strength=0.0)
    return {name: str(folder / f"{name}.gguf") for name in (*seeds, "mute")}


@pytest.fixture
def engine(child: Child, smollm2_path: Path, adapters: dict[str, str]) -> Iterator[RemoteEngine]:
    engine = child.create()
    tuning = Tuning(
        context_tokens=1024, sequences=6, threads=2, adapters=adapters, cache_ram_bytes=BIG, speculation=False
    )
    facts = engine.load(str(smollm2_path), tuning, lambda _: None)
    assert "adapters" in (facts.features or ())
    yield engine
    engine.close()


@pytest.fixture
def ledger(engine: RemoteEngine) -> Ledger:
    return Ledger(engine)


def ask(adapter: str | None) -> Generate:
    sampling = Sampling(temperature=0.0, max_tokens=6, logprobs=3, ignore_eos=True)
    return Generate(seq=next(NUMBERS), prompt=RawPrompt(text=TEXT), sampling=sampling, adapter=adapter)


def first_chances(account: Account) -> dict[bytes, float]:
    return {each.data: each.logprob for each in account.choices[0].top}


def is_like(one: Account, other: Account) -> bool:
    mine, yours = first_chances(one), first_chances(other)
    shared = mine.keys() & yours.keys()
    return len(shared) >= 2 and all(abs(mine[data] - yours[data]) < NOISE for data in shared)


def test_an_adapter_changes_the_answer_and_each_in_its_own_way(ledger: Ledger) -> None:
    plain, pirate, poet = (ledger.play(ask(name)) for name in (None, "pirate", "poet"))

    assert not is_like(plain, pirate)
    assert not is_like(plain, poet)
    assert not is_like(pirate, poet)


def test_an_adapter_without_strength_changes_nothing(ledger: Ledger) -> None:
    assert is_like(ledger.play(ask(None)), ledger.play(ask("mute")))


def test_seqs_of_several_adapters_and_none_at_once_answer_as_alone(ledger: Ledger) -> None:
    names = (None, "pirate", "poet")
    alone = {name: ledger.play(ask(name)) for name in names}

    together = [(name, ledger.submit(ask(name))) for name in (*names, *reversed(names))]
    ledger.drain()

    for name, account in together:
        assert is_like(account, alone[name])
        others = [alone[each] for each in names if each != name]
        assert not any(is_like(account, other) for other in others)


def test_seqs_of_several_adapters_take_turns(ledger: Ledger) -> None:
    accounts = [ledger.submit(ask(name)) for name in (None, "pirate", "poet")]
    while not all(account.tokens >= 3 for account in accounts):
        ledger.step()
        tokens = [account.tokens for account in accounts if account.deltas]
        assert max(tokens, default=0) - min(tokens, default=0) <= 3, "nobody is left behind"
    ledger.drain()


def test_a_prefix_is_shared_under_the_same_adapter_only(ledger: Ledger) -> None:
    found = [ledger.play(ask(name)).end for name in (None, "pirate", "poet", None, "pirate", "poet")]

    assert [end.cached_tokens for end in found[:3]] == [0, 0, 0]
    assert all(end.cached_tokens == end.prompt_tokens - 1 for end in found[3:])


def test_an_unknown_adapter_is_refused_with_the_names_of_the_known(ledger: Ledger) -> None:
    other = ledger.submit(ask("poet"))
    refused = ledger.play(ask("sailor"))

    assert refused.fault is not None
    assert (refused.fault.code, refused.fault.param) == ("invalid_request", "adapter")
    assert "'sailor'" in refused.fault.message
    assert "mute, pirate, poet" in refused.fault.message
    assert other.end.reason == "length"


def test_an_adapter_that_cannot_be_used_refuses_the_load_by_its_name(
    child: Child, smollm2_path: Path, adapters: dict[str, str], tmp_path: Path
) -> None:
    whole = Path(adapters["poet"]).read_bytes()
    broken = {
        "missing": None,
        "page": b"<!DOCTYPE html><title>Not found</title>",
        "short": whole[: len(whole) // 2],
    }
    for name, data in broken.items():
        if data is not None:
            (tmp_path / f"{name}.gguf").write_bytes(data)
    write_adapter(tmp_path / "wide.gguf", Shape("llama", 640), 1)
    write_adapter(tmp_path / "foreign.gguf", Shape("qwen2", 576), 1)

    for name in (*broken, "wide", "foreign"):
        path = str(tmp_path / f"{name}.gguf")
        tuning = Tuning(context_tokens=256, sequences=1, threads=2, adapters={**adapters, name: path})
        engine = child.create()
        with pytest.raises(LoadRefused) as caught:
            engine.load(str(smollm2_path), tuning, lambda _: None)
        engine.close()
        assert caught.value.fault.code == "model_broken"
        assert f"'{name}'" in caught.value.fault.message
        assert path in caught.value.fault.message
