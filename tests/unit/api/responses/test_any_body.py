"""No body breaks anything, whatever is in it: it is taken, or refused as the fault of whoever sent it."""

import copy
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.api.bodies import decode_body
from runtime.api.errors import Refused
from runtime.api.responses.body import CompactBody, CountBody, CreateBody
from runtime.api.responses.items_in import check_pairs, read_input
from runtime.api.responses.request import first_request
from tests.kit.responses import EVERYTHING, make_outside, make_words
from tests.unit.api.responses.samples import SAMPLES
from tests.unit.api.responses.test_refusals import read_run
from tests.unit.api.responses.test_tools import EVERY

_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
_ITEMS = [wired for sample in SAMPLES.values() for wired in make_words(*EVERYTHING).items(sample)]
_BODY: dict[str, Any] = {
    "model": "m",
    "instructions": "Be brief.",
    "tools": EVERY,
    "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "add"}]},
    "text": {
        "format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}},
        "verbosity": "low",
    },
    "reasoning": {"effort": "low", "summary": "auto"},
    "prompt_cache_options": {"mode": "implicit", "ttl": "30m", "comparison_response_id": "resp_1"},
    "metadata": {"a": "b"},
    "conversation": {"id": "conv_1"},
    "context_management": [{"type": "compaction", "compact_threshold": 2000}],
    "include": list(EVERYTHING),
    "stream": True,
}


_FINE = (200, 400, 404)


def _places(value: Any) -> list[tuple[Any, ...]]:
    """Return the path of everything within."""
    found: list[tuple[Any, ...]] = []
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inside:
        found.append((key,))
        found += [(key, *rest) for rest in _places(each)]
    return found


def _put(body: Any, path: tuple[Any, ...], value: Any) -> None:
    """Set what is within a body; what is not there any more is left alone."""
    holder = body
    try:
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = value
    except (KeyError, IndexError, TypeError):
        return


@st.composite
def _changed_items(draw: st.DrawFn) -> dict[str, Any]:
    changed = copy.deepcopy(draw(st.sampled_from(_ITEMS)))
    _put(changed, draw(st.sampled_from(_places(changed))), draw(_JSON))
    return changed


@st.composite
def _changed_bodies(draw: st.DrawFn) -> dict[str, Any]:
    changed = copy.deepcopy({**_BODY, "input": [draw(st.sampled_from(_ITEMS))]})
    for path in draw(st.lists(st.sampled_from(_places(changed)), max_size=2)):
        _put(changed, path, draw(_JSON))
    return changed


@given(_changed_items())
async def test_no_item_whatever_is_in_it_breaks_anything(changed: dict[str, Any]) -> None:
    status = 200
    try:
        read = await read_input([msgspec.json.decode(msgspec.json.encode(changed))], make_outside())
        msgspec.json.encode(make_words(*EVERYTHING).items(read.items))
        check_pairs([], read.items)
    except Refused as refused:
        status = refused.refusal.status
    assert status in _FINE


@given(_changed_bodies())
async def test_no_body_whatever_is_in_it_breaks_anything(changed: dict[str, Any]) -> None:
    status = 200
    try:
        run = await read_run(changed)
        first_request(run)
        msgspec.json.encode(run)
    except Refused as refused:
        status = refused.refusal.status
    assert status in _FINE


@given(_JSON)
@pytest.mark.parametrize("shape", [CreateBody, CompactBody, CountBody])
def test_no_json_at_all_breaks_a_body(shape: type[msgspec.Struct], body: Any) -> None:
    status = 200
    try:
        decode_body(msgspec.json.encode(body), shape)
    except Refused as refused:
        status = refused.refusal.status
    assert status in _FINE


@pytest.mark.parametrize(
    "content",
    [
        b'{"model": "m", "input": "\\ud800"}',
        b'{"model": "m", "input": "\xff"}',
        b'{"model": "m", "input": [' + b"[" * 5000,
        b'{"model": "m", "tools": ' + b'[{"type":"function","name":"a","parameters":' * 1 + b'{"a":' * 3000,
        b'{"model": "m", "temperature": 1e999}',
        b'{"model": "m", "seed": 99999999999999999999}',
    ],
)
def test_bytes_that_are_no_json_are_refused(content: bytes) -> None:
    with pytest.raises(Refused) as refused:
        decode_body(content, CreateBody)

    assert refused.value.refusal.status == 400


@pytest.mark.parametrize(
    "place",
    [
        lambda deep: {"tools": [{"type": "function", "name": "f", "parameters": deep}]},
        lambda deep: {"tool_choice": {"type": "function", "name": "f", "more": deep}},
        lambda deep: {"input": [{"type": "program", "more": deep}]},
        lambda deep: {"prompt": {"id": "p", "variables": {"a": deep}}},
        lambda deep: {"text": {"format": {"type": "json_schema", "name": "n", "schema": deep}}},
    ],
)
async def test_what_nests_without_end_is_refused(place: Callable[[Any], dict[str, Any]]) -> None:
    deep: dict[str, Any] = {}
    for _ in range(200):
        deep = {"items": deep}

    with pytest.raises(Refused, match="nests deeper than"):
        await read_run({"model": "m", "input": "Hi", **place(deep)})
