"""From the messages on the wire to the core's: content joined, tool results matched to their calls."""

from collections.abc import Iterable, Sequence

from runtime.api.errors import Refused, invalid, unsupported
from runtime.api.openai.body import (
    AudioPart,
    CustomToolCall,
    FilePart,
    FunctionToolCall,
    ImagePart,
    RefusalPart,
    TextPart,
    WireMessage,
)
from runtime.core.messages import FunctionCall, Message, ToolCall


def conversation_of(messages: Sequence[WireMessage]) -> tuple[Message, ...]:
    """Return the conversation for the model. Raises Refused with the path of the message at fault."""
    _check_calls_are_answered(messages)
    return tuple(_message_of(each, f"messages[{place}]") for place, each in enumerate(messages))


def _message_of(wire: WireMessage, path: str) -> Message:
    if wire.role == "function":
        raise unsupported(
            "Messages of role 'function' are not supported. Use 'tools', and answer with role 'tool'.",
            f"{path}.role",
        )

    _check_refused_fields(wire, path)
    content = _text_of(wire, path)
    if content is None and not (wire.role == "assistant" and wire.tool_calls):
        raise invalid(
            f"Missing required parameter: '{path}.content'.",
            f"{path}.content",
            code="missing_required_parameter",
        )

    return Message(
        role=wire.role,
        content=content,
        name=wire.name,
        reasoning_content=wire.reasoning_content,
        tool_calls=_calls_of(wire, path),
        tool_call_id=wire.tool_call_id,
    )


def _check_refused_fields(wire: WireMessage, path: str) -> None:
    if wire.audio is not None:
        raise unsupported("Audio in messages is not supported by this server yet.", f"{path}.audio")

    if wire.function_call is not None:
        raise unsupported(
            "'function_call' in messages is not supported. Use 'tool_calls' instead.", f"{path}.function_call"
        )

    only_assistant = {
        "tool_calls": wire.tool_calls,
        "reasoning_content": wire.reasoning_content,
        "refusal": wire.refusal,
    }
    for name, value in only_assistant.items():
        if value and wire.role != "assistant":
            raise invalid(
                f"'{name}' is allowed in messages of role 'assistant' only.",
                f"{path}.{name}",
            )

    if wire.tool_call_id is not None and wire.role != "tool":
        raise invalid(
            "'tool_call_id' is allowed in messages of role 'tool' only.",
            f"{path}.tool_call_id",
        )


def _text_of(wire: WireMessage, path: str) -> str | None:
    """Join the parts of the content; a refusal counts as what the assistant said."""
    if isinstance(wire.content, list):
        if not wire.content:
            raise invalid(
                f"'{path}.content' is an empty list. Send text, or at least one part.", f"{path}.content"
            )

        return "\n".join(
            _text_of_part(part, wire, f"{path}.content[{place}]") for place, part in enumerate(wire.content)
        )

    return wire.content if wire.content is not None else wire.refusal


def _text_of_part(
    part: TextPart | RefusalPart | ImagePart | AudioPart | FilePart, wire: WireMessage, path: str
) -> str:
    match part:
        case TextPart():
            return part.text
        case RefusalPart():
            if wire.role != "assistant":
                raise invalid("Parts of type 'refusal' belong to messages of role 'assistant'.", path)
            return part.refusal
        case ImagePart():
            raise _part_unsupported("image_url", path)
        case AudioPart():
            raise _part_unsupported("input_audio", path)
        case FilePart():
            raise _part_unsupported("file", path)


def _part_unsupported(kind: str, path: str) -> Refused:
    return unsupported(
        f"Content parts of type '{kind}' are not supported by this model yet. Send text.", f"{path}.type"
    )


def _calls_of(wire: WireMessage, path: str) -> tuple[ToolCall, ...]:
    calls: list[ToolCall] = []
    for place, call in enumerate(wire.tool_calls or ()):
        match call:
            case FunctionToolCall():
                function = FunctionCall(name=call.function.name, arguments=call.function.arguments)
                calls.append(ToolCall(id=call.id, function=function))
            case CustomToolCall():
                raise unsupported(
                    "Calls of custom tools are not supported yet. Use function tools.",
                    f"{path}.tool_calls[{place}].type",
                )
    return tuple(calls)


def _check_calls_are_answered(messages: Sequence[WireMessage]) -> None:
    """Refuse a tool result without its call, and a call without its result."""
    waiting: set[str] = set()
    asked_at = 0
    for place, message in enumerate(messages):
        path = f"messages[{place}]"
        if message.role == "tool":
            _check_result(message, path, waiting)
            waiting.discard(message.tool_call_id or "")
            continue

        if waiting:
            raise _unanswered(waiting, asked_at)

        if message.role == "assistant":
            waiting = _ids_of(message, path)
            asked_at = place

    if waiting:
        raise _unanswered(waiting, asked_at)


def _check_result(message: WireMessage, path: str, waiting: set[str]) -> None:
    if message.tool_call_id is None:
        param = f"{path}.tool_call_id"
        raise invalid(f"Missing required parameter: '{param}'.", param, code="missing_required_parameter")

    if message.tool_call_id not in waiting:
        raise invalid(
            f"'{path}' answers the tool call '{message.tool_call_id[:80]}', which no preceding assistant "
            "message asks for (or which is answered already).",
            f"{path}.tool_call_id",
        )


def _ids_of(message: WireMessage, path: str) -> set[str]:
    ids: set[str] = set()
    for place, call in enumerate(message.tool_calls or ()):
        if not isinstance(call, FunctionToolCall):
            continue

        if call.id in ids:
            raise invalid(
                f"The tool call id '{call.id[:80]}' appears twice in one message.",
                f"{path}.tool_calls[{place}].id",
            )
        ids.add(call.id)
    return ids


def _unanswered(ids: Iterable[str], place: int) -> Refused:
    listed = ", ".join(each[:80] for each in sorted(ids)[:3])
    return invalid(
        "An assistant message with 'tool_calls' must be followed by one message of role 'tool' for each "
        f"call. These have none: {listed}.",
        f"messages[{place}].tool_calls",
    )
