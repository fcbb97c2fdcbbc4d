"""What a response says again of its request: with defaults filled in, and without secrets."""

from typing import Any

import msgspec

from runtime.api.responses.body import CreateBody, JsonObjectFormat, JsonSchemaFormat
from runtime.api.responses.choosing import echo_choice
from runtime.api.responses.object import Echo
from runtime.api.responses.tools_in import ToolWishes


def echo_request(body: CreateBody, model: str, instructions: str, tools: ToolWishes) -> Echo:
    """Return what a request said of itself."""
    retention = body.prompt_cache_retention
    return Echo(
        model=model,
        instructions=instructions or None,
        tools=tools.echo,
        tool_choice=echo_choice(body.tool_choice),
        parallel_tool_calls=body.parallel_tool_calls is not False,
        text=_text(body),
        reasoning=_reasoning(body),
        temperature=1.0 if body.temperature is None else body.temperature,
        top_p=1.0 if body.top_p is None else body.top_p,
        presence_penalty=body.presence_penalty or 0.0,
        frequency_penalty=body.frequency_penalty or 0.0,
        top_logprobs=body.top_logprobs or 0,
        max_output_tokens=body.max_output_tokens,
        max_tool_calls=body.max_tool_calls,
        truncation=body.truncation or "disabled",
        previous_response_id=body.previous_response_id,
        prompt=_prompt(body),
        service_tier="default" if body.service_tier in (None, "auto") else body.service_tier,
        metadata=body.metadata or {},
        user=body.user,
        safety_identifier=body.safety_identifier,
        prompt_cache_key=body.prompt_cache_key,
        prompt_cache_retention=None if retention is None else retention.replace("-", "_"),
        prompt_cache_options=_cache_options(body),
        include=tuple(body.include or ()),
        warnings=tuple(tools.warnings),
    )


def _text(body: CreateBody) -> dict[str, Any]:
    wire = None if body.text is None else body.text.format
    told: dict[str, Any] = {"type": "text"}
    match wire:
        case JsonObjectFormat():
            told = {"type": "json_object"}
        case JsonSchemaFormat():
            told = {
                "type": "json_schema",
                "name": wire.name,
                "description": wire.description,
                "schema": wire.schema,
                "strict": bool(wire.strict),
            }
        case _:
            pass
    verbosity = None if body.text is None else body.text.verbosity
    return {"format": told, "verbosity": verbosity or "medium"}


def _reasoning(body: CreateBody) -> dict[str, Any]:
    wire = body.reasoning
    if wire is None:
        return {"effort": None, "summary": None}

    told: dict[str, Any] = {"effort": wire.effort, "summary": wire.summary or wire.generate_summary}
    more = {"context": wire.context, "mode": wire.mode}
    return told | {name: value for name, value in more.items() if value is not None}


def _prompt(body: CreateBody) -> dict[str, Any] | None:
    if body.prompt is None:
        return None

    told: dict[str, Any] = msgspec.to_builtins(body.prompt)
    return told


def _cache_options(body: CreateBody) -> dict[str, Any] | None:
    """Return options of a cloud's cache with what its clients expect to find; odd values are its defaults."""
    given = body.prompt_cache_options
    if given is None:
        return None

    told: dict[str, Any] = {
        "mode": given["mode"] if given.get("mode") in ("implicit", "explicit") else "implicit",
        "ttl": given["ttl"] if given.get("ttl") in ("30m", "12h") else "30m",
    }
    if isinstance(given.get("comparison_response_id"), str):
        told["comparison_response_id"] = given["comparison_response_id"]
    return told
