"""Request bodies: from bytes to a typed struct, or to a 400 that names the field and what it may be.

msgspec decodes and checks in one pass; this module turns its findings into sentences for people, with the
nearest known name for a misspelt field and the allowed values where there is a list.
"""

import difflib
import re
from collections.abc import Collection, Iterable
from typing import Any, TypeVar

import anyio
import msgspec
from aiohttp import web

from runtime.api.deps import DEPS
from runtime.api.errors import Refusal, Refused, body_too_large, invalid

BODY_DEADLINE_S = 60.0
"""How long a client may take to send a body; a trickle must not hold a connection for ever."""
DEPTH_LIMIT = 64
"""How deep free-form JSON (schemas) may nest: far above what people write, far below any stack's end."""

_T = TypeVar("_T", bound=msgspec.Struct)

_JSON = "application/json"

_AT = re.compile(r"^(?P<what>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>[^`]*)`)?$", re.DOTALL)
_EXPECTED = re.compile(r"^Expected `(?P<types>[^`]+)`(?P<bound> .*?)?(?:, got `(?P<got>[^`]+)`)?$")
_MISSING = re.compile(r"^Object missing required field `(?P<name>.*)`$", re.DOTALL)
_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<name>.*)`$", re.DOTALL)
_WRONG = re.compile(r"^Invalid (?:enum )?value (?P<value>.*)$", re.DOTALL)
_STEP = re.compile(r"\.(?P<name>[^.\[]+)|\[(?P<index>[^\]]*)\]")

_WORDS = {
    "object": "an object",
    "array": "a list",
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
}
_ECHO_LIMIT = 80
"""Characters of a client's own value that a message repeats."""


async def read_body(request: web.Request, shape: type[_T], *, taken: Collection[str] = (_JSON,)) -> _T:
    """Read and decode the body as `shape`. Raises Refused: 400 naming the field, 408, 413 or 415.

    `taken` are the content types that are taken for JSON.
    """
    if request.content_type not in taken:
        raise _wrong_content_type(request)

    return decode_body(await read_content(request), shape)


async def read_content(request: web.Request) -> bytes:
    """Read the body as it is. Raises Refused: 400, 408 or 413."""
    limit_bytes = request.app[DEPS].settings.max_body_bytes
    if request.content_length is not None and request.content_length > limit_bytes:
        raise body_too_large(limit_bytes)

    try:
        with anyio.fail_after(BODY_DEADLINE_S):
            await invite(request)
            return await request.read()
    except web.HTTPRequestEntityTooLarge as problem:
        raise body_too_large(limit_bytes) from problem
    except web.RequestPayloadError as problem:
        raise invalid("The request body ended early or is encoded wrongly.", None) from problem
    except TimeoutError as problem:
        message = f"The request body did not arrive within {BODY_DEADLINE_S:g} s."
        refusal = Refusal(status=408, type="invalid_request_error", code="request_timeout", message=message)
        raise Refused(refusal) from problem


def decode_body(content: bytes, shape: type[_T]) -> _T:
    """Decode JSON as `shape`. Raises Refused with a message that names field, cause and allowed values."""
    if not content.strip():
        raise invalid("The request body is empty. Send a JSON object.", None, code="invalid_json")

    try:
        return msgspec.json.decode(content, type=shape)
    except msgspec.ValidationError as problem:
        raise _explain(str(problem), shape) from problem
    except UnicodeDecodeError as problem:
        message = f"The request body is not valid UTF-8 ({problem.reason})."
        raise invalid(message, None, code="invalid_json") from problem
    except msgspec.DecodeError as problem:
        message = f"The request body is not valid JSON: {problem}."
        raise invalid(message, None, code="invalid_json") from problem
    except RecursionError as problem:
        message = "The request body nests too deeply."
        raise invalid(message, None, code="invalid_json") from problem


def shape_part(value: object, shape: type[_T], at: str) -> _T:
    """Return a part of a body that is decoded already as `shape`; `at` is its path.

    For parts whose shape depends on what is in them. Raises Refused as `decode_body` does.
    """
    try:
        return msgspec.convert(value, type=shape)
    except msgspec.ValidationError as problem:
        raise _explain(str(problem), shape, at) from problem


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that somebody who wrote `name` may have meant."""
    close = difflib.get_close_matches(name[:_ECHO_LIMIT], sorted(known), n=1, cutoff=0.7)
    return close[0] if close else None


def check_plain_json(value: object, param: str, depth: int = 0) -> None:
    """Refuse free-form JSON that nests too deeply or holds integers beyond 64 bits. Raises Refused."""
    if depth > DEPTH_LIMIT:
        raise invalid(f"'{param}' nests deeper than {DEPTH_LIMIT} levels.", param)

    if isinstance(value, dict):
        for each in value.values():
            check_plain_json(each, param, depth + 1)
    elif isinstance(value, list):
        for each in value:
            check_plain_json(each, param, depth + 1)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise invalid(f"'{param}' holds an integer that needs more than 64 bits.", param)


async def invite(request: web.Request) -> None:
    """Tell a client that waits for leave to send its body (`Expect: 100-continue`) to go on."""
    if "Expect" in request.headers:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the interim answer is no part of the real one


def _wrong_content_type(request: web.Request) -> Refused:
    given = request.headers.get("Content-Type", "none")[:_ECHO_LIMIT]
    return Refused(
        Refusal(
            status=415,
            type="invalid_request_error",
            code="unsupported_media_type",
            message=f"The body must be JSON with 'Content-Type: application/json', not '{given}'.",
        )
    )


def _explain(text: str, shape: type[msgspec.Struct], at: str = "") -> Refused:
    """Turn one finding of msgspec into a refusal; `at` is where the shape stands in the body."""
    found = _AT.match(text)
    assert found is not None
    within = (found["path"] or "").removeprefix(".")
    path = _join(at, within)
    what = found["what"]
    if missing := _MISSING.match(what):
        param = _join(path, missing["name"])
        return invalid(f"Missing required parameter: '{param}'.", param, code="missing_required_parameter")

    if unknown := _UNKNOWN.match(what):
        meant = nearest(unknown["name"], _field_names(shape, within))
        return _unknown_field(unknown["name"], path, meant)

    allowed = _allowed_values(shape, within)
    name = f"'{path}'" if path else "The request body"
    if wrong := _WRONG.match(what):
        listed = ", ".join(f"'{each}'" for each in allowed)
        value = wrong["value"][:_ECHO_LIMIT]
        return invalid(f"Invalid value for {name}: {value}. It must be one of {listed}.", path or None)

    place = f"A key of {name}" if found["key"] else name
    if expected := _EXPECTED.match(what):
        return _unexpected(place, path, expected, allowed)

    return invalid(f"Invalid value for {name}: {what}.", path or None)


def _unknown_field(name: str, path: str, meant: str | None) -> Refused:
    param = _join(path, name[:_ECHO_LIMIT])
    hint = f" Did you mean '{_join(path, meant)}'?" if meant else ""
    message = f"Unrecognized request argument supplied: {param}.{hint}"
    return invalid(message, param, code="unknown_parameter")


def _unexpected(place: str, path: str, expected: re.Match[str], allowed: list[str]) -> Refused:
    kinds = [each for each in expected["types"].split(" | ") if each != "null"]
    wanted = " or ".join(_WORDS.get(each, each) for each in kinds)
    if allowed and "str" in kinds:
        wanted += f" ({', '.join(allowed)})"
    bound = (expected["bound"] or "").strip()
    if bound.startswith("of length"):
        wanted += f" {bound}"
    elif bound:
        wanted += f" that is {bound}"
    if expected["got"] is None:
        return invalid(f"{place} must be {wanted}.", path or None)

    got = _WORDS.get(expected["got"], expected["got"])
    if expected["got"] == "bool":
        got = "a boolean"
    return invalid(f"{place} must be {wanted}, not {got}.", path or None, code="invalid_type")


def _join(path: str, name: str) -> str:
    if not path or not name:
        return path or name
    return f"{path}{name}" if name.startswith("[") else f"{path}.{name}"


def _alternatives(types: Iterable[msgspec.inspect.Type]) -> list[msgspec.inspect.Type]:
    """Flatten unions and annotations."""
    flat: list[msgspec.inspect.Type] = []
    for each in types:
        if isinstance(each, msgspec.inspect.Metadata):
            flat += _alternatives([each.type])
        elif isinstance(each, msgspec.inspect.UnionType):
            flat += _alternatives(each.types)
        else:
            flat.append(each)
    return flat


def _types_at(shape: type[msgspec.Struct], path: str) -> list[msgspec.inspect.Type]:
    """Return what may stand at the path."""
    here = _alternatives([msgspec.inspect.type_info(shape)])
    for step in _STEP.finditer(f".{path}" if path else ""):
        below: list[msgspec.inspect.Type] = []
        for each in here:
            if isinstance(each, msgspec.inspect.StructType) and step["name"] is not None:
                below += [field.type for field in each.fields if field.encode_name == step["name"]]
                below += _tag_at(each, step["name"])
            elif isinstance(each, msgspec.inspect.ListType | msgspec.inspect.VarTupleType):
                below.append(each.item_type)
            elif isinstance(each, msgspec.inspect.DictType):
                below.append(each.value_type)
        here = _alternatives(below)
    return here


def _tag_at(struct: msgspec.inspect.StructType, name: str) -> list[msgspec.inspect.Type]:
    return [msgspec.inspect.LiteralType((struct.tag,))] if struct.tag_field == name else []


def _allowed_values(shape: type[msgspec.Struct], path: str) -> list[str]:
    """Return the closed list of values at the path; empty where any value of the type is fine."""
    literals = [each for each in _types_at(shape, path) if isinstance(each, msgspec.inspect.LiteralType)]
    return list(dict.fromkeys(str(value) for each in literals for value in each.values))


def _field_names(shape: type[msgspec.Struct], path: str) -> set[str]:
    structs: list[Any] = [e for e in _types_at(shape, path) if isinstance(e, msgspec.inspect.StructType)]
    return {field.encode_name for struct in structs for field in struct.fields}
