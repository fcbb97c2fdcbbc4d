"""Draws with the llama engine's sampler. Run by the interpreter of its backend, which has numpy.

Reads `[{"logits": […], "sampling": {…}, "count": n}, …]` from stdin, writes the tokens drawn for each.
"""

import json
import sys
from typing import Any

import msgspec
import numpy as np

from runtime.backends.engines.llama.recipe import Recipe, decide_recipe
from runtime.backends.engines.llama.sampler import Sampler
from runtime.backends.protocol import Sampling, Tuning


def draw(case: dict[str, Any]) -> list[int]:
    row = np.array(case["logits"], dtype=np.float32)
    recipe = decide_recipe(msgspec.convert(case["sampling"], Sampling, strict=False), Tuning(), len(row))
    assert isinstance(recipe, Recipe)
    sampler = Sampler(recipe, prompt=case.get("prompt", ()), ends=case.get("ends", ()))
    return [take(sampler, row) for _ in range(case["count"])]


def take(sampler: Sampler, row: Any) -> int:
    token = sampler.pick(row).token
    sampler.note(token)
    return token


if __name__ == "__main__":
    json.dump([draw(case) for case in json.load(sys.stdin)], sys.stdout)
