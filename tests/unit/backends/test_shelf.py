"""The shelf: how each known model would be started, and how much memory it would take."""

import sys
from pathlib import Path

import pytest

from runtime.backends.install import Installer
from runtime.backends.shelf import Entry, Shelf
from runtime.backends.tuning import Machine
from runtime.core.clock import SystemClock
from runtime.core.errors import ModelUnavailable
from runtime.core.ids import ModelId
from runtime.core.settings import GIB, MIB, BackendSettings, ModelsSettings, OwnModel
from tests.kit.toy_gguf import Value, toy_gguf

MINE = ModelId("mine")


class Installed(Installer):
    """Every engine is there."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, BackendSettings(), lambda fact: None, SystemClock())

    def engine_python(self, engine_id: str) -> Path | None:
        return Path(sys.executable)


@pytest.fixture
def weights(tmp_path: Path) -> str:
    values: dict[str, Value] = {
        "general.architecture": "llama",
        "llama.block_count": 1,
        "llama.context_length": 4096,
    }
    heads: dict[str, Value] = {"llama.attention.head_count": 4, "llama.embedding_length": 256}
    (tmp_path / "mine.gguf").write_bytes(toy_gguf({**values, **heads}, {"token_embd.weight": 320}))
    return "mine.gguf"


def shelf(home: Path, own: OwnModel) -> Shelf:
    return Shelf(
        installer=Installed(home),
        own={MINE: own},
        settings=ModelsSettings(),
        folder=home,
        machine=Machine(cores=4, memory_bytes=4 * GIB, disk_free_bytes=100 * GIB),
        is_scripted=True,
    )


def entry(home: Path, own: OwnModel) -> Entry:
    return shelf(home, own).find(MINE)


def test_a_worker_gets_every_setting_of_its_model(tmp_path: Path, weights: str) -> None:
    (tmp_path / "sql.gguf").touch()
    own = OwnModel(path=weights, kv_type="q8_0", cache_ram_bytes=MIB, context_tokens=512)

    spec = shelf(tmp_path, own).spec(MINE, 2)

    assert (spec.tuning.kv_type, spec.tuning.context_tokens, spec.tuning.threads) == ("q8_0", 512, 2)
    assert spec.tuning.cache_ram_bytes == MIB
    assert spec.tuning.cache_disk_bytes == 4 * GIB
    assert spec.tuning.cache_folder == str(tmp_path / "cache" / "prefixes" / "mine")


def test_memory_is_known_before_anything_is_loaded(tmp_path: Path, weights: str) -> None:
    short, long = (
        shelf(tmp_path, OwnModel(path=weights, context_tokens=tokens, cache_ram_bytes=0))
        for tokens in (256, 512)
    )

    found = [each.estimate(each.find(MINE)) for each in (short, long)]

    assert found[0] is not None
    assert found[1] is not None
    assert found[1].cache_bytes == 2 * found[0].cache_bytes == 512 * 256 * 2 * 2
    assert long.spec(MINE, 1).estimate == found[1]


def test_weights_that_cannot_be_read_are_left_to_the_engine_to_explain(tmp_path: Path) -> None:
    (tmp_path / "text.gguf").write_text("hello")
    known = shelf(tmp_path, OwnModel(path="text.gguf"))

    assert known.estimate(known.find(MINE)) is None
    assert known.spec(MINE, 1).estimate is None


def test_weights_of_other_engines_are_judged_by_their_size(tmp_path: Path) -> None:
    (tmp_path / "mine.onnx").write_bytes(bytes(4 * MIB))
    known = shelf(tmp_path, OwnModel(engine="onnx", path="mine.onnx"))

    found = known.estimate(known.find(MINE))

    assert found is not None
    assert found.total_bytes > 4 * MIB


@pytest.mark.parametrize(
    ("own", "key"),
    [
        (OwnModel(path="mine.gguf", adapters={"sql": "none.gguf"}), "model.mine.adapters.sql"),
        (OwnModel(path="mine.gguf", projector="none.gguf"), "model.mine.projector"),
    ],
)
def test_files_that_are_not_there_are_named_by_their_setting(
    tmp_path: Path, weights: str, own: OwnModel, key: str
) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        shelf(tmp_path, own).spec(MINE, 1)

    assert f"lar.toml: {key}: " in str(caught.value)


def test_settings_that_an_engine_cannot_honour_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.onnx").touch()
    own = OwnModel(engine="onnx", path="mine.onnx", adapters={"sql": "mine.onnx"})

    with pytest.raises(ModelUnavailable, match=r"model\.mine\.adapters\.sql: the engine 'onnx' has no use"):
        shelf(tmp_path, own).spec(MINE, 1)


def test_an_engine_that_schedules_by_itself_gets_many_runs_to_choose_from(
    tmp_path: Path, weights: str
) -> None:
    few, many = (entry(tmp_path, OwnModel(path=weights, sequences=count)) for count in (4, 64))
    scripted = shelf(tmp_path, OwnModel(path=weights)).find(ModelId("scripted"))

    assert (few.sequences, few.places) == (4, 64)
    assert (many.sequences, many.places) == (64, 256)
    assert scripted.places == scripted.sequences
