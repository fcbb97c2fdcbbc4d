"""The catalogue: what it holds, and what it refuses to read."""

import re
from typing import get_args

import pytest

from runtime.backends.catalog.manifests import (
    CatalogueBroken,
    load_engines,
    load_models,
    read_engine,
    read_model,
)
from runtime.core.settings import DEFAULT_EMBEDDER, DEFAULT_MODEL, ModelTuning
from runtime.core.states import Feature

ENGINE = "id: some\ntitle: Some engine\nlicence: MIT\n"
MODEL = "id: some\ntitle: Some model\nengine: llama\nlicence: MIT\n"
SOURCE = (
    "source:\n  kind: package\n  requirement: weights==1.0\n  member: weights/some.gguf\n"
    f"  sha256: {'a' * 64}\n  size_bytes: 10\n  file: some.gguf\n"
)
BESIDE = (
    "beside:\n  - kind: package\n    requirement: other==2.0\n    member: other/more.json\n"
    f"    sha256: {'b' * 64}\n    size_bytes: 5\n    file: more.json\n"
)


def test_the_default_model_is_in_the_catalogue_and_so_is_its_engine() -> None:
    model = load_models()[DEFAULT_MODEL]

    assert load_engines()[model.engine].features
    assert model.source is not None


def test_the_scripted_engine_runs_in_place_and_can_do_all() -> None:
    scripted = load_engines()["scripted"]

    assert scripted.runs_in_place
    assert scripted.features == frozenset(get_args(Feature))
    assert load_models()["scripted"].source is None


def test_every_engine_with_requirements_can_be_checked_and_says_how_much_room_it_needs() -> None:
    needy = [each for each in load_engines().values() if not each.runs_in_place]

    assert needy
    for engine in needy:
        assert engine.import_check
        assert engine.disk_bytes > 0
        compile(engine.import_check, engine.id, "exec")


def test_the_tuning_of_a_manifest_is_the_tuning_of_the_settings() -> None:
    assert isinstance(load_models()[DEFAULT_MODEL].tuning, ModelTuning)


def test_a_minimal_manifest_is_read() -> None:
    assert read_engine(ENGINE, "engines/some.yaml").runs_in_place
    source = read_model(MODEL + SOURCE, "models/some.yaml").source
    assert source is not None
    assert source.file == "some.gguf"


def test_the_default_embedder_is_in_the_catalogue_with_its_tokenizer_beside_the_weights() -> None:
    model = load_models()[DEFAULT_EMBEDDER]

    assert [each.file for each in model.files] == ["model.onnx", "tokenizer.json"]
    assert model.size_bytes == sum(each.size_bytes for each in model.files)
    assert "embeddings" in load_engines()[model.engine].features


def test_files_lie_beside_the_weights_and_features_may_be_fewer() -> None:
    text = MODEL + SOURCE + BESIDE + "features: [tokenize]\n"

    model = read_model(text, "models/some.yaml")

    fewer: frozenset[Feature] = frozenset({"tokenize"})
    assert [each.file for each in model.files] == ["some.gguf", "more.json"]
    assert model.size_bytes == 15
    assert model.features == fewer
    assert read_model(MODEL + SOURCE, "models/some.yaml").features is None
    assert read_model(MODEL, "models/some.yaml").files == ()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (MODEL + BESIDE, "need a `source`"),
        (MODEL + SOURCE + BESIDE.replace("more.json", "some.gguf"), "one name"),
        (MODEL + SOURCE + BESIDE.replace("more.json", "../more.json"), "beside"),
        (MODEL + SOURCE + "features: [telepathy]\n", "telepathy"),
    ],
)
def test_files_and_features_that_make_no_sense_are_refused(text: str, complaint: str) -> None:
    with pytest.raises(CatalogueBroken, match=complaint):
        read_model(text, "models/some.yaml")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (ENGINE + "colour: red\n", "colour"),
        (ENGINE.replace("id: some", "id: ../some"), r"\$\.id"),
        (ENGINE.replace("id: some", 'id: "some\\n"'), r"\$\.id"),
        (ENGINE + "features: [telepathy]\n", "telepathy"),
        (ENGINE + "import_check: pass\nrequirements: [thing>=1]\n", "exact pin"),
        (ENGINE + "import_check: pass\nrequirements: ['--index-url==x']\n", "exact pin"),
        (ENGINE + "requirements: [thing==1]\n", "import_check"),
        (ENGINE + "needs_compiler: sometimes\n", "needs_compiler"),
        ("- [\n", "flow node"),
        ("", "null"),
    ],
)
def test_an_engine_that_is_not_understood_is_refused_with_its_file_name(text: str, complaint: str) -> None:
    with pytest.raises(CatalogueBroken, match=rf"(?s)^engines/some\.yaml: .*{complaint}"):
        read_engine(text, "engines/some.yaml")


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("file: some.gguf", "file: ../../etc/passwd", "source.file"),
        ("file: some.gguf", "file: .hidden", "source.file"),
        (f"sha256: {'a' * 64}", "sha256: abc", "source.sha256"),
        ("size_bytes: 10", "size_bytes: 0", "source.size_bytes"),
        ("requirement: weights==1.0", "requirement: weights", "exact pin"),
        ("kind: package", "kind: carrier-pigeon", "carrier-pigeon"),
        ("member: weights", "colour: red\n  member: weights", "colour"),
        ("licence: MIT", "licence: MIT\ntuning: {contxt_tokens: 10}", "contxt_tokens"),
    ],
)
def test_a_model_that_is_not_understood_is_refused_with_its_file_name(
    before: str, after: str, complaint: str
) -> None:
    text = (MODEL + SOURCE).replace(before, after)

    with pytest.raises(CatalogueBroken, match=rf"(?s)^models/some\.yaml: .*{re.escape(complaint)}"):
        read_model(text, "models/some.yaml")
