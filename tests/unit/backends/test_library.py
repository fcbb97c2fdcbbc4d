"""The library: what a model can be asked for, and how large it is, before it was ever loaded."""

from pathlib import Path

import pytest

from runtime.backends.catalog.manifests import load_engines, load_models
from runtime.backends.library import Library
from runtime.core.ids import ModelId
from runtime.core.settings import DEFAULT_EMBEDDER, DEFAULT_MODEL
from tests.contract.test_ports_contract import open_library

MODELS, ENGINES = load_models(), load_engines()


@pytest.mark.parametrize("model", [DEFAULT_MODEL, DEFAULT_EMBEDDER])
async def test_a_model_has_the_features_of_its_engine_that_its_manifest_leaves_it(
    tmp_path: Path, model: ModelId
) -> None:
    manifest = MODELS[model]
    offered = ENGINES[manifest.engine].features

    async with open_library(tmp_path) as library:
        features = _found(library, model)

    assert features == (offered if manifest.features is None else offered & manifest.features)


async def test_the_default_model_makes_no_vectors_and_the_embedder_writes_nothing(tmp_path: Path) -> None:
    async with open_library(tmp_path) as library:
        writer, embedder = _found(library, DEFAULT_MODEL), _found(library, DEFAULT_EMBEDDER)

    assert "embeddings" not in writer
    assert embedder == {"embeddings", "rerank", "tokenize"}


async def test_a_model_of_several_files_is_as_large_as_all_of_them(tmp_path: Path) -> None:
    async with open_library(tmp_path) as library:
        state = library.find_model(DEFAULT_EMBEDDER)

    assert state is not None
    assert state.size_bytes == 22928619 + 466247


def _found(library: Library, model: ModelId) -> frozenset[str]:
    state = library.find_model(model)
    assert state is not None
    return frozenset(state.features)
