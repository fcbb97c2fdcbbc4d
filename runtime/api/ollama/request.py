"""From a chat or a generation as Ollama's clients ask for it to the core's ChatRequest."""

from collections.abc import Mapping
from typing import NamedTuple

from runtime.api.bodies import check_plain_json
from runtime.api.errors import invalid, unsupported
from runtime.api.ollama.body import ChatBody, GenerateBody, Generating
from runtime.api.ollama.conversation import content_of, conversation_of, tools_of
from runtime.api.ollama.options import RENAMED, sampling_of
from runtime.core.ids import ModelId
from runtime.core.messages import ChatRequest, Message, RawPrompt, ResponseFormat, Role, Sampling


class Asked(NamedTuple):
    """What is asked of a model; None where the model is only to be loaded or freed."""

    request: ChatRequest | None
    renamed: Mapping[str, str] = {}
    """What this API calls the core's fields, for refusals."""


def chat_of(body: ChatBody, model: ModelId) -> Asked:
    """Return what a chat asks. Raises Refused, naming the field."""
    common = _common(body)
    if not body.messages:
        return Asked(None)

    request = ChatRequest(
        model=model,
        messages=conversation_of(body.messages),
        tools=tools_of(body.tools or ()),
        sampling=common.sampling,
        response_format=common.response_format,
        reasoning_effort=common.reasoning_effort,
    )
    images = {
        f"messages[{place}].content[{at}]": f"messages[{place}].images[{at}]"
        for place, message in enumerate(body.messages)
        for at in range(len(message.images or ()))
    }
    return Asked(request, _renamed(images))


def generate_of(body: GenerateBody, model: ModelId) -> Asked:
    """Return what a generation asks. Raises Refused, naming the field.

    With `raw` or `suffix` the prompt is a text to go on with or to fill, else it is a user's message.
    """
    common = _common(body)
    _check_generate(body)
    if not (body.prompt or body.suffix or body.images):
        return Asked(None)

    is_raw = bool(body.raw or body.suffix)
    prompt = RawPrompt(text=body.prompt or "", suffix=body.suffix or None) if is_raw else None
    request = ChatRequest(
        model=model,
        messages=() if is_raw else _messages_of(body),
        prompt=prompt,
        sampling=common.sampling,
        response_format=common.response_format,
        reasoning_effort=common.reasoning_effort,
    )
    place = len(request.messages) - 1
    images = {f"messages[{place}].content[{at}]": f"images[{at}]" for at in range(len(body.images or ()))}
    return Asked(request, _renamed({"prompt": "raw" if body.raw else "suffix", **images}))


class _Common(NamedTuple):
    """What chats and generations say alike."""

    sampling: Sampling
    response_format: ResponseFormat
    reasoning_effort: str | None


def _common(body: Generating) -> _Common:
    if body.debug_render_only:
        raise unsupported("'_debug_render_only' is not supported. Leave it out.", "_debug_render_only")

    if body.top_logprobs and not body.logprobs:
        raise invalid("'top_logprobs' is only allowed when 'logprobs' is true.", "top_logprobs")

    return _Common(
        sampling=sampling_of(body.options, (body.top_logprobs or 0) if body.logprobs else None),
        response_format=_format_of(body.format),
        reasoning_effort=_effort_of(body.think),
    )


def _format_of(wire: str | dict[str, object] | None) -> ResponseFormat:
    match wire:
        case None | "":
            return ResponseFormat()
        case dict():
            check_plain_json(wire, "format")
            return ResponseFormat(type="json_schema", name="format", schema=wire, strict=True)
        case _:
            return ResponseFormat(type="json_object")


def _effort_of(think: bool | str | None) -> str | None:
    match think:
        case True:
            return "medium"
        case False:
            return "none"
        case effort:
            return effort


def _check_generate(body: GenerateBody) -> None:
    refused = {
        "template": (body.template, "A model's template is set in lar.toml (chat_template)."),
        "context": (body.context, "Send the conversation to /api/chat instead."),
        "width": (body.width, "This server makes no pictures."),
        "height": (body.height, "This server makes no pictures."),
        "steps": (body.steps, "This server makes no pictures."),
    }
    for name, (value, fix) in refused.items():
        if value:
            raise unsupported(f"'{name}' is not supported. {fix}", name)

    if not (body.raw or body.suffix):
        return

    word = "raw" if body.raw else "suffix"
    for name, given in (("system", body.system), ("images", body.images)):
        if given:
            raise invalid(f"'{name}' has no place in a prompt with '{word}'. Leave one of them out.", name)


def _messages_of(body: GenerateBody) -> tuple[Message, ...]:
    asked: list[tuple[Role, str, list[str] | None]] = [("user", body.prompt or "", body.images)]
    if body.system:
        asked.insert(0, ("system", body.system, None))
    return tuple(
        Message(role=role, content=content_of(text, images, "images")) for role, text, images in asked
    )


def _renamed(more: Mapping[str, str]) -> Mapping[str, str]:
    return {**RENAMED, "response_format": "format", **more}
