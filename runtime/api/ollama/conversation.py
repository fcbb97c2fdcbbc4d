"""From Ollama's messages and tools to the core's. Its calls may have no ids, so results find them by name.

A result without an id answers the first open call of its tool's name, or the first open call where it names
no tool. One that answers no call keeps an id of its own: Ollama takes such conversations, so do we.
"""

from collections.abc import Sequence

import msgspec

from runtime.api.bodies import check_plain_json
from runtime.api.errors import Refused, invalid
from runtime.api.images import IMAGES_LIMIT, image_of_base64
from runtime.api.ollama.body import WireMessage, WireTool, WireToolCall
from runtime.core.messages import ContentPart, FunctionCall, FunctionTool, Message, Role, TextPart, ToolCall


def conversation_of(messages: Sequence[WireMessage]) -> tuple[Message, ...]:
    """Return the conversation for the model. Raises Refused with the path of the field at fault."""
    if sum(len(each.images or ()) for each in messages) > IMAGES_LIMIT:
        raise invalid(f"There are more than {IMAGES_LIMIT} pictures in 'messages'. Send fewer.", "messages")

    open_calls: dict[str, str] = {}
    built: list[Message] = []
    for place, wire in enumerate(messages):
        path = f"messages[{place}]"
        _check_only_assistant(wire, path)
        if wire.role == "tool":
            built.append(_result_of(wire, path, place, open_calls))
            continue

        calls = _calls_of(wire.tool_calls or (), path, place)
        open_calls |= {each.id: each.function.name for each in calls}
        built.append(
            Message(
                role=wire.role,
                content=content_of(wire.content or "", wire.images, f"{path}.images"),
                reasoning_content=wire.thinking or None,
                tool_calls=calls,
            )
        )
    return tuple(built)


def content_of(text: str, images: Sequence[str] | None, path: str) -> str | tuple[ContentPart, ...]:
    """Return text, or the pictures with the text after them, as Ollama orders them. Raises Refused."""
    if not images:
        return text

    parts: list[ContentPart] = [
        image_of_base64(each, f"{path}[{place}]") for place, each in enumerate(images)
    ]
    return (*parts, TextPart(text=text)) if text else tuple(parts)


def tools_of(tools: Sequence[WireTool]) -> tuple[FunctionTool, ...]:
    """Return the functions that may be called. Raises Refused."""
    built: dict[str, FunctionTool] = {}
    for place, tool in enumerate(tools):
        function, path = tool.function, f"tools[{place}].function"
        if function.name in built:
            raise invalid(f"Two tools are named '{function.name}'.", f"{path}.name")

        parameters = function.parameters
        if parameters is not None:
            check_plain_json(parameters, f"{path}.parameters")
            if parameters.get("type", "object") != "object":
                raise invalid(f"'{path}.parameters' must be of type 'object'.", f"{path}.parameters")

        built[function.name] = FunctionTool(
            name=function.name,
            description=function.description,
            parameters=parameters,
            strict=function.strict,
        )
    return tuple(built.values())


def _check_only_assistant(wire: WireMessage, path: str) -> None:
    for name, value in (("tool_calls", wire.tool_calls), ("thinking", wire.thinking)):
        if value and wire.role != "assistant":
            raise _misplaced(f"{path}.{name}", "assistant")

    for name, value in (("tool_name", wire.tool_name), ("tool_call_id", wire.tool_call_id)):
        if value and wire.role != "tool":
            raise _misplaced(f"{path}.{name}", "tool")


def _misplaced(path: str, role: Role) -> Refused:
    return invalid(f"'{path}' is allowed in messages of role '{role}' only.", path)


def _calls_of(wire: Sequence[WireToolCall], path: str, place: int) -> tuple[ToolCall, ...]:
    calls: list[ToolCall] = []
    for at, each in enumerate(wire):
        check_plain_json(each.function.arguments, f"{path}.tool_calls[{at}].function.arguments")
        arguments = msgspec.json.encode(each.function.arguments).decode()
        calls.append(
            ToolCall(
                id=each.id or f"call_{place}_{at}",
                function=FunctionCall(name=each.function.name, arguments=arguments),
            )
        )
    return tuple(calls)


def _result_of(wire: WireMessage, path: str, place: int, open_calls: dict[str, str]) -> Message:
    """Return a tool's result under the id of the call that it answers, which is open no longer."""
    call_id = wire.tool_call_id or _answered_by(wire.tool_name, open_calls) or f"call_{place}"
    called = open_calls.pop(call_id, None)
    return Message(
        role="tool",
        content=content_of(wire.content or "", wire.images, f"{path}.images"),
        name=wire.tool_name or called,
        tool_call_id=call_id,
    )


def _answered_by(tool_name: str | None, open_calls: dict[str, str]) -> str | None:
    return next((each for each, name in open_calls.items() if tool_name in (None, "", name)), None)
