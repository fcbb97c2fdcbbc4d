"""What Lar tells a model about tools and answers where its template has no words for it. Pure."""

import json
from collections.abc import Sequence
from typing import Any

from runtime.backends.engines.llama.calls.forms import ANY, CUSTOM_AFTER, Form, custom_head
from runtime.backends.engines.llama.calls.sketch import sketch_schema
from runtime.backends.engines.llama.masking import Piece


def list_functions(functions: Sequence[dict[str, Any]], form: Form) -> list[Piece]:
    """Return the note that lists functions and shows how one is called."""
    if not functions:
        return []

    lines = [json.dumps(_shown(function), ensure_ascii=False) for function in functions]
    listed = "\n".join(["You can call these tools:", *lines, "", "To call a tool, write only:", ""])
    return [Piece(listed, is_trusted=False), Piece(_example(form), is_trusted=True)]


def list_customs(customs: Sequence[dict[str, Any]]) -> list[Piece]:
    """Return the note that lists tools whose input is text of a form."""
    if not customs:
        return []

    lines = ["You can call these tools with plain text:"]
    for custom in customs:
        about = f": {custom['description']}" if custom.get("description") else ""
        lines.append(f"- {custom['name']}{about}")
        if custom.get("definition"):
            lines.append(f"  Its input follows this {custom.get('syntax')} grammar:\n{custom['definition']}")

    lines += ["", "To call one, write only:", f"{custom_head('NAME')}INPUT{CUSTOM_AFTER}"]
    return [Piece("\n".join(lines), is_trusted=False)]


def ask_for_json(schema: dict[str, Any] | None) -> list[Piece]:
    """Return the note that asks for an answer in JSON."""
    text = "Answer with a JSON object and nothing else."
    if schema is not None:
        sketched = sketch_schema(schema)
        form, told = (
            ("schema", json.dumps(schema, ensure_ascii=False)) if sketched is None else ("form", sketched)
        )
        text = f"Answer with JSON of this {form} and nothing else:\n{told}"

    return [Piece(text, is_trusted=False)]


def _shown(function: dict[str, Any]) -> dict[str, Any]:
    return {key: function[key] for key in ("name", "description", "parameters") if function.get(key)}


def _example(form: Form) -> str:
    head = form.head("NAME", is_first=True).replace(ANY, "0")
    arguments = "<parameter=KEY>\nVALUE\n</parameter>\n" if form.shape == "tags" else "{ARGUMENTS}"
    return f"{head}{arguments}{form.after}{form.closing}"
