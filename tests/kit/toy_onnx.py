"""Writes tiny ONNX models with their tokenizer, for tests of the onnx engine: their results can be reckoned.

Each word has a direction of WIDTH numbers (`state_of`), special tokens too. An embedder gives the state of
each token. A ranker's logit is the product of the sums of the query's and the document's states, in which
special tokens count nothing: how many words they share, about. The few fields of the format are written by
hand; `onnx` is not needed.
"""

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

WIDTH = 32
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
WORDS = (
    *("the", "a", "at", "is", "in", "where", "what", "who", "it", "on", "and", "of", "for"),
    *("sleeps", "sat", "runs", "rose", "fell", "good", "morning", "calm", "today", "march"),
    *("house", "cat", "dog", "sea", "lake", "garden", "roof", "market", "shares", "rates", "mat", "interest"),
)
VOCABULARY = (*SPECIALS, *WORDS)
_FLOAT, _INT64, _HALF = 1, 7, 10
"""Types of elements."""
_OPSET = 17

Raw = tuple[str, list[int], int, bytes]
"""Name, dimensions, type and bytes of a constant."""
Node = tuple[str, Sequence[str], str, Mapping[str, int]]
"""What it does, to which names, giving which, with which numbers."""
Shape = list[str | int]


def state_of(word: str) -> list[float]:
    """Return the direction of a word, of unit length."""
    digest = hashlib.sha256(word.encode()).digest()
    signs = [1 if digest[place // 8] >> place % 8 & 1 else -1 for place in range(WIDTH)]
    return [sign / WIDTH**0.5 for sign in signs]


def write_embedder(
    folder: Path,
    *,
    output: str = "last_hidden_state",
    is_half: bool = False,
    takes: Sequence[str] = ("token_type_ids",),
    frames: bool = True,
) -> Path:
    """Write an embedder and its tokenizer; an `output` named sentence_embedding is the first word's state.

    Its tokenizer puts special tokens around a text only if it `frames`.
    """
    table = _table(VOCABULARY, is_half=is_half)
    kind = _HALF if is_half else _FLOAT
    shape: Shape = ["rows", "tokens", WIDTH]
    if output == "sentence_embedding":
        nodes: list[Node] = [
            ("Gather", ["table", "input_ids"], "states", {"axis": 0}),
            ("Gather", ["states", "second"], output, {"axis": 1}),
        ]
        constants = [table, ("second", [], _INT64, struct.pack("<q", 1))]
        shape = ["rows", WIDTH]
    else:
        nodes, constants = [("Gather", ["table", "input_ids"], output, {"axis": 0})], [table]

    inputs = ["input_ids", "attention_mask", *takes]
    return _write(folder, (nodes, constants, inputs, [(output, kind, shape)]), frames=frames)


def write_ranker(folder: Path, *, labels: int = 1, config: Mapping[str, Any] | None = None) -> Path:
    """Write a cross-encoder of so many labels: the last one's logit tells that a document fits."""
    nodes: list[Node] = [
        ("Gather", ["table", "input_ids"], "states", {"axis": 0}),
        ("Cast", ["attention_mask"], "counted", {"to": _FLOAT}),
        ("Cast", ["token_type_ids"], "of_document", {"to": _FLOAT}),
        ("Sub", ["counted", "of_document"], "of_query", {}),
        ("Unsqueeze", ["of_document", "last"], "document_weights", {}),
        ("Unsqueeze", ["of_query", "last"], "query_weights", {}),
        ("Mul", ["states", "document_weights"], "document_states", {}),
        ("Mul", ["states", "query_weights"], "query_states", {}),
        ("ReduceSum", ["document_states", "first"], "document", {"keepdims": 0}),
        ("ReduceSum", ["query_states", "first"], "query", {"keepdims": 0}),
        ("Mul", ["document", "query"], "products", {}),
        ("ReduceSum", ["products", "first"], "score", {"keepdims": 1}),
    ]
    if labels == 1:
        nodes.append(("Identity", ["score"], "logits", {}))
    else:
        nodes.append(("Neg", ["score"], "against", {}))
        nodes.append(("Concat", [*["against"] * (labels - 1), "score"], "logits", {"axis": 1}))

    constants = [
        _table(WORDS, is_half=False),
        ("last", [1], _INT64, struct.pack("<q", 2)),
        ("first", [1], _INT64, struct.pack("<q", 1)),
    ]
    inputs = ["input_ids", "attention_mask", "token_type_ids"]
    path = _write(folder, (nodes, constants, inputs, [("logits", _FLOAT, ["rows", labels])]), frames=True)
    if config is not None:
        write_beside(path, "config.json", config)
    return path


def write_beside(model: Path, name: str, content: object) -> None:
    """Write a file of settings beside a model."""
    path = model.parent / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def write_pooling(model: Path, *modes: str, after: Sequence[str] = ("Normalize",)) -> None:
    """Write how it pools, as sentence-transformers does, and what comes after."""
    kinds = ["Transformer", "Pooling", *after]
    modules = [
        {"idx": place, "name": str(place), "type": f"sentence_transformers.models.{kind}", "path": path}
        for place, (kind, path) in enumerate(
            zip(kinds, ["", *(f"{n}_{kind}" for n, kind in enumerate(kinds[1:], 1))], strict=True)
        )
    ]
    write_beside(model, "modules.json", modules)
    switches = ("cls_token", "mean_tokens", "max_tokens", "lasttoken")
    content = {f"pooling_mode_{each}": each in modes for each in switches}
    write_beside(model, "1_Pooling/config.json", {"word_embedding_dimension": WIDTH, **content})


def _write(
    folder: Path,
    graph: tuple[Sequence[Node], Sequence[Raw], Sequence[str], Sequence[tuple[str, int, Shape]]],
    *,
    frames: bool,
) -> Path:
    nodes, constants, inputs, outputs = graph
    folder.mkdir(parents=True, exist_ok=True)
    body = b"".join(_field(1, _node(node)) for node in nodes) + _field(2, b"toy")
    body += b"".join(_field(5, _tensor(each)) for each in constants)
    body += b"".join(_field(11, _value(name, _INT64, ["rows", "tokens"])) for name in inputs)
    body += b"".join(_field(12, _value(*each)) for each in outputs)
    model = _number(1, 8) + _field(7, body) + _field(8, _field(1, b"") + _number(2, _OPSET))
    path = folder / "model.onnx"
    path.write_bytes(model)
    write_beside(path, "tokenizer.json", _tokenizer(frames=frames))
    return path


def _table(counted: Sequence[str], *, is_half: bool) -> Raw:
    """Return the states of all tokens; those that do not count are zeros."""
    rows = [state_of(word) if word in counted else [0.0] * WIDTH for word in VOCABULARY]
    flat = [value for row in rows for value in row]
    data = struct.pack(f"<{len(flat)}{'e' if is_half else 'f'}", *flat)
    return ("table", [len(VOCABULARY), WIDTH], _HALF if is_half else _FLOAT, data)


def _tokenizer(*, frames: bool) -> dict[str, Any]:
    special = {name: {"id": name, "ids": [VOCABULARY.index(name)], "tokens": [name]} for name in SPECIALS[2:]}

    def _special(name: str, kind: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": name, "type_id": kind}}

    def _text(name: str, kind: int) -> dict[str, Any]:
        return {"Sequence": {"id": name, "type_id": kind}}

    single = [_special("[CLS]", 0), _text("A", 0), _special("[SEP]", 0)]
    template = {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, _text("B", 1), _special("[SEP]", 1)],
        "special_tokens": special,
    }
    flags: dict[str, Any] = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {
        "version": "1.0",
        # As some files ask for; the engine cuts nothing in silence.
        "truncation": {
            "direction": "Right",
            "max_length": 4,
            "strategy": "LongestFirst",
            "stride": 0,
        },
        "padding": None,
        "added_tokens": [
            {"id": place, "content": name, "special": True, **flags} for place, name in enumerate(SPECIALS)
        ],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": template if frames else None,
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {word: place for place, word in enumerate(VOCABULARY)},
            "unk_token": "[UNK]",
        },
    }


def _node(node: Node) -> bytes:
    operation, inputs, output, numbers = node
    attributes = b"".join(
        _field(5, _field(1, name.encode()) + _number(3, value) + _number(20, 2))
        for name, value in numbers.items()
    )
    taken = b"".join(_field(1, name.encode()) for name in inputs)
    return taken + _field(2, output.encode()) + _field(4, operation.encode()) + attributes


def _tensor(raw: Raw) -> bytes:
    name, dimensions, kind, data = raw
    sizes = b"".join(_number(1, size) for size in dimensions)
    return sizes + _number(2, kind) + _field(8, name.encode()) + _field(9, data)


def _value(name: str, kind: int, shape: Sequence[str | int]) -> bytes:
    sizes = b"".join(
        _field(1, _number(1, each) if isinstance(each, int) else _field(2, each.encode())) for each in shape
    )
    tensor = _number(1, kind) + _field(2, sizes)
    return _field(1, name.encode()) + _field(2, _field(1, tensor))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _field(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
