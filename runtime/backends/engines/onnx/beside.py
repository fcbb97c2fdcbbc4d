"""What the files beside the weights say of a model: how it pools, what it takes, whether it classifies.

They lie in the folder of the weights, or above it where that is called `onnx`, as exports lay them out:

    config.json                  architecture, labels, positions
    tokenizer_config.json        the longest text that it was made for
    modules.json                 what sentence-transformers computes after the model, in its order
    1_Pooling/config.json        how states become a vector
    sentence_bert_config.json    the longest text of this embedder
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from runtime.backends.engines.onnx.refusal import first_line, refused

Pooling = Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
"""As sentence-transformers calls them."""

_SWITCHES: Mapping[str, Pooling] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""In the order in which several are laid one after the other."""
_FREE = ("Transformer", "Pooling", "Normalize", "Dropout")
"""Modules that are known here; every vector is made unit length, asked for or not."""
_OFFSET_POSITIONS = ("camembert", "data2vec-text", "mpnet", "roberta", "xlm-roberta", "xlm-roberta-xl")
"""Their first position follows that of padding, so some of the positions are never used."""
_NO_LIMIT = 10**9
"""Tokenizers without a limit state an astronomic one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What the files say; None and empty where they say nothing."""

    poolings: tuple[Pooling, ...] = ()
    modules: tuple[str, ...] = ()
    """What would have to be computed after pooling, and is not known here."""
    limit: int | None = None
    """Tokens of the longest text."""
    classifier: str | None = None
    """The architecture, where it classifies whole texts."""
    pad: int | None = None
    lowers: bool = False
    """Whether texts become lower case before anything else."""


def find_beside(weights: Path, name: str) -> Path | None:
    """Return the file of this name that belongs to the weights, if there is one."""
    folders = [weights.parent, weights.parent.parent] if weights.parent.name == "onnx" else [weights.parent]
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def read_beside(weights: Path) -> Beside:
    """Read the files beside the weights. Raises LoadRefused where one is damaged or names what is unknown."""
    config = _read_map(weights, "config.json")
    sentence = _read_map(weights, "sentence_bert_config.json")
    tokenizer = _read_map(weights, "tokenizer_config.json")
    modules = _read_modules(weights)
    pooling_path = next((path for kind, path in modules if kind == "Pooling"), "1_Pooling")
    return Beside(
        poolings=poolings_of(_read_map(weights, f"{pooling_path}/config.json")),
        modules=tuple(kind for kind, _ in modules if kind not in _FREE),
        limit=limit_of(config, sentence, tokenizer),
        classifier=_classifier_of(config),
        pad=_number(config.get("pad_token_id"), least=0),
        lowers=sentence.get("do_lower_case") is True,
    )


def poolings_of(config: Mapping[str, Any]) -> tuple[Pooling, ...]:
    """Return how a pooling module pools. Raises LoadRefused for a way that is unknown."""
    named = config.get("pooling_mode")
    names = [named] if isinstance(named, str) else named if isinstance(named, list) else []
    unknown = next((each for each in names if each not in get_args(Pooling)), None)
    if unknown is not None:
        known = ", ".join(get_args(Pooling))
        raise refused(
            f"The model pools by '{unknown}'; known are {known}. "
            "Export it with the output 'sentence_embedding', which is used as it is."
        )

    if names:
        return tuple(names)

    return tuple(pooling for key, pooling in _SWITCHES.items() if config.get(key) is True)


def limit_of(
    config: Mapping[str, Any], sentence: Mapping[str, Any], tokenizer: Mapping[str, Any]
) -> int | None:
    """Return how many tokens a text may have: what the embedder says, then its tokenizer, then positions."""
    told = (
        _number(sentence.get("max_seq_length")),
        _number(tokenizer.get("model_max_length")),
        positions := _positions_of(config),
    )
    wanted = next((each for each in told if each is not None), None)
    return wanted if wanted is None or positions is None else min(wanted, positions)


def _positions_of(config: Mapping[str, Any]) -> int | None:
    positions = _number(config.get("max_position_embeddings"))
    if positions is None or config.get("model_type") not in _OFFSET_POSITIONS:
        return positions

    padding = _number(config.get("pad_token_id"), least=0)
    return max(1, positions - 1 - (1 if padding is None else padding))


def _classifier_of(config: Mapping[str, Any]) -> str | None:
    architectures = config.get("architectures")
    named = [str(each) for each in architectures] if isinstance(architectures, list) else []
    return next((each for each in named if each.endswith("ForSequenceClassification")), None)


def _number(value: object, least: int = 1) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None

    return int(value) if least <= value < _NO_LIMIT else None


def _read_modules(weights: Path) -> list[tuple[str, str]]:
    """Return kind and folder of each module."""
    listed = _read(weights, "modules.json")
    if listed is None:
        return []

    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise refused(f"The modules.json beside {weights} is no list of modules. Download it again.")

    found = [(str(each.get("type", "")).rpartition(".")[2], str(each.get("path", ""))) for each in listed]
    stray = next((path for _, path in found if not _stays_inside(path)), None)
    if stray is not None:
        raise refused(f"The modules.json beside {weights} leads out of its folder, to '{stray}'. Correct it.")

    return found


def _stays_inside(path: str) -> bool:
    parsed = PurePosixPath(path)
    return not parsed.is_absolute() and ".." not in parsed.parts


def _read_map(weights: Path, name: str) -> dict[str, Any]:
    found = _read(weights, name)
    if found is not None and not isinstance(found, dict):
        raise refused(f"The {name} beside {weights} holds no settings. Download it again.")

    return found or {}


def _read(weights: Path, name: str) -> Any:
    path = find_beside(weights, name)
    if path is None:
        return None

    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise refused(f"{path} cannot be read: {first_line(problem)}. Download it again.") from problem
