"""Grammars over the vocabulary of the real model, in the environment of its backend."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.kit.remote_engine import ROOT
from tests.kit.schemas import SCHEMAS

pytestmark = pytest.mark.engine

PROBE_S = 120.0


def probe(python: str, model: Path, schemas: list[dict[str, Any]], larks: list[str]) -> list[dict[str, Any]]:
    asked = {"model": str(model), "schemas": schemas, "larks": larks, "seed": 7}
    done = subprocess.run(
        [python, "-m", "tests.kit.grammar_probe"],
        cwd=ROOT,
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=PROBE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads(done.stdout)["results"]
    assert len(results) == len(schemas) + len(larks)
    return list(results)


def test_whatever_is_sampled_is_valid_for_every_schema(llama_python: str, smollm2_path: Path) -> None:
    results = probe(llama_python, smollm2_path, SCHEMAS, [])

    assert [
        (result["problem"], schema)
        for result, schema in zip(results, SCHEMAS, strict=True)
        if result["problem"]
    ] == []
    assert sum(result["forced"] for result in results) > sum(result["tokens"] for result in results) / 10
    assert all(json.dumps(json.loads(result["text"])) for result in results)


def test_control_tokens_are_named_and_end_tokens_end(llama_python: str, smollm2_path: Path) -> None:
    larks = ['start: "a" <|im_start|> /[b-d]{3}/\n', "start: /[0-9]{2,4}/\n", 'start: "x" <no_such_token>\n']

    named, digits, unknown = probe(llama_python, smollm2_path, [], larks)

    assert re.fullmatch("a[b-d]{3}", named["text"])
    assert re.fullmatch("[0-9]{2,4}", digits["text"])
    assert "no_such_token" in unknown["problem"]
