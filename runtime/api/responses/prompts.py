"""Prompt templates: what is stored under a name, filled with what a request gives."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import msgspec

from runtime.api.errors import invalid
from runtime.core.ids import TenantId

Variables = Mapping[str, str | dict[str, Any]]
"""Texts, or parts of content: pictures and files."""
_PLACE = re.compile(r"\{\{\s*([\w.-]+)\s*\}\}")


class PromptTemplate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A template; `{{name}}` stands for a variable."""

    id: str
    version: str = "1"
    model: str | None = None
    instructions: str = ""
    input: tuple[dict[str, Any], ...] = ()
    """Messages in the words of the API, before those of the request."""
    tools: tuple[dict[str, Any], ...] = ()
    defaults: dict[str, str] = {}
    """Of variables that a request leaves out."""


class Prompts(Protocol):
    """Where templates are kept."""

    async def find(self, tenant: TenantId, prompt: str, version: str | None) -> PromptTemplate:
        """Return one, the newest version where none is named. Raises Refused (404)."""


class Filled(NamedTuple):
    """A template with everything in its place."""

    instructions: str
    items: list[dict[str, Any]]


def fill_prompt(template: PromptTemplate, variables: Variables) -> Filled:
    """Return a template filled. Raises Refused where a variable is missing, or must be a text and is none."""
    variables = {**template.defaults, **variables}
    items = [_fill_item(each, variables) for each in template.input]
    return Filled(_fill_text(template.instructions, variables, "the instructions"), items)


def _fill_item(item: dict[str, Any], variables: Variables) -> dict[str, Any]:
    content = item.get("content")
    if isinstance(content, str):
        parts = _fill_parts(content, variables)
        texts = [each["text"] for each in parts if each["type"] == "input_text"]
        return {**item, "content": "".join(texts) if len(texts) == len(parts) else parts}

    if not isinstance(content, list):
        return item

    filled: list[dict[str, Any]] = []
    for part in content:
        is_text = part.get("type") == "input_text"
        filled += _fill_parts(part["text"], variables) if is_text else [part]
    return {**item, "content": filled}


def _fill_parts(text: str, variables: Variables) -> list[dict[str, Any]]:
    """Return a text as parts: a picture or a file stands where its name stood."""
    parts: list[dict[str, Any]] = []
    said = ""
    end = 0
    for found in _PLACE.finditer(text):
        value = _value(found[1], variables)
        said += text[end : found.start()]
        end = found.end()
        if isinstance(value, str):
            said += value
            continue
        if said:
            parts.append({"type": "input_text", "text": said})
        parts.append(value)
        said = ""
    said += text[end:]
    return [*parts, {"type": "input_text", "text": said}] if said or not parts else parts


def _fill_text(text: str, variables: Variables, where: str) -> str:
    def value(found: re.Match[str]) -> str:
        given = _value(found[1], variables)
        if isinstance(given, str):
            return given
        param = f"prompt.variables.{found[1]}"
        raise invalid(f"'{param}' must be a text: it stands in {where}.", param)

    return _PLACE.sub(value, text)


def _value(name: str, variables: Variables) -> str | dict[str, Any]:
    """Return what a variable is; a part that is a text is one."""
    given = variables.get(name)
    if given is None:
        param = f"prompt.variables.{name}"
        raise invalid(f"Missing prompt variable: '{name}'.", param, code="missing_required_parameter")

    if isinstance(given, dict) and given.get("type") == "input_text":
        text = given.get("text")
        return text if isinstance(text, str) else ""
    return given
