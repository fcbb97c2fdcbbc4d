"""Follows grammars with the vocabulary of a real model. Run by the interpreter of the llama.cpp backend.

Takes `{"model": path, "schemas": […], "larks": […], "seed": n}` from stdin. The "model" that samples is a
random generator: a token is drawn, asked for, and drawn again under the mask if it was refused.
"""

import ctypes
import json
import sys
from typing import Any

import llama_cpp
import numpy as np

from runtime.backends.engines.llama.grammar.bounds import Limits
from runtime.backends.engines.llama.grammar.compiler import Compiler, lark_of_schema
from runtime.backends.engines.llama.grammar.guide import Guide
from runtime.backends.engines.llama.grammar.schema import bound_schema
from runtime.backends.engines.llama.grammar.tokenizer import LazyTokenizer
from runtime.backends.engines.llama.grammar.validity import Validity
from runtime.backends.protocol import Fault

LIMITS = Limits(characters=30, items=3, names=3, name_characters=10, decimals=4, depth=3)
MOST_TOKENS = 4000
CHECKED = 40
"""Tokens for which a mask is compared with what the guide says of each."""


class Model:
    """The vocabulary of a model, without its weights."""

    def __init__(self, path: str) -> None:
        settings = llama_cpp.llama_model_default_params()
        settings.vocab_only = True
        self._model = llama_cpp.llama_model_load_from_file(path.encode(), settings)
        self.vocabulary = llama_cpp.llama_model_get_vocab(self._model)
        self.size = int(llama_cpp.llama_vocab_n_tokens(self.vocabulary))
        self.ends = [
            token for token in range(self.size) if llama_cpp.llama_vocab_is_eog(self.vocabulary, token)
        ]

    def text(self, tokens: list[int]) -> bytes:
        buffer = ctypes.create_string_buffer(512)
        pieces: list[bytes] = []
        for token in tokens:
            count = llama_cpp.llama_token_to_piece(self.vocabulary, token, buffer, len(buffer), 0, False)
            pieces.append(buffer.raw[:count])

        return b"".join(pieces)


def follow(guide: Guide, model: Model, draw: Any) -> dict[str, Any]:
    """Generate one text, forced tokens first; count what was forced and what had to be drawn again."""
    tokens: list[int] = []
    forced = redrawn = 0
    while len(tokens) < MOST_TOKENS:
        for token in guide.forced():
            guide.accept(token)
            tokens.append(token)
            forced += 1

        row = draw.standard_normal(model.size, dtype=np.float32)
        row[model.ends] += 8.0
        token = int(row.argmax())
        if not guide.allows(token):
            masked = guide.masked(row)
            assert masked is not row
            assert masked.dtype == np.float32
            for each in [int(masked.argmax()), *draw.integers(0, model.size, CHECKED).tolist()]:
                assert guide.allows(each) == bool(np.isfinite(masked[each])), "mask and check differ"

            token, redrawn = int(masked.argmax()), redrawn + 1

        guide.accept(token)
        if token in model.ends:
            return {
                "text": model.text(tokens).decode(),
                "tokens": len(tokens),
                "forced": forced,
                "redrawn": redrawn,
            }

        tokens.append(token)

    return {"text": model.text(tokens).decode("utf-8", "replace"), "tokens": len(tokens), "problem": "no end"}


def probe(asked: dict[str, Any]) -> dict[str, Any]:
    model = Model(asked["model"])
    compiler = Compiler(LazyTokenizer(model.vocabulary, model.ends), ends=model.ends)
    draw = np.random.Generator(np.random.PCG64(asked["seed"]))
    results: list[dict[str, Any]] = []
    for schema in asked["schemas"]:
        decoding = bound_schema(schema, param="p", limits=LIMITS)
        guide = decoding if isinstance(decoding, Fault) else compiler.compile(lark_of_schema(decoding))
        if isinstance(guide, Fault):
            results.append({"problem": guide.message})
            continue

        result = follow(guide, model, draw)
        results.append({"problem": Validity(schema).problem(result["text"]), **result})

    for lark in asked["larks"]:
        guide = compiler.compile(lark)
        results.append({"problem": guide.message} if isinstance(guide, Fault) else follow(guide, model, draw))

    return {"ends": [model.text([end]).decode() for end in model.ends], "results": results}


if __name__ == "__main__":
    json.dump(probe(json.load(sys.stdin)), sys.stdout)
