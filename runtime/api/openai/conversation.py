"""From the messages on the wire to the core's: parts joined or kept, tool results matched to their calls."""

from collections.abc import Iterable, Sequence

from runtime.api.errors import Refused, invalid, unsupported
from runtime.api.images import IMAGES_LIMIT, image_of_url
from runtime.api.openai.body import (
    AnyPart,
    AudioPart,
    CustomToolCall,
    FilePart,
    FunctionToolCall,
    ImagePart,
    RefusalPart,
    TextPart,
    WireMessage,
)
from runtime.core.messages import ContentPart, FunctionCall, Message, ToolCall
from runtime.core.messages import ImagePart as Picture
from runtime.core.messages import TextPart as Text

_MAY_SHOW = frozenset({"user", "tool"})
"""The roles whose messages may hold pictures."""


def conversation_of(messages: Sequence[WireMessage]) -> tuple[Message, ...]:
    """Return the conversation for the model. Raises Refused with the path of the message at fault."""
    _check_calls_are_answered(messages)
    _check_count_of_images(messages)
    return tuple(_message_of(each, f"messages[{place}]") for place, each in enumerate(messages))


def _message_of(wire: WireMessage, path: str) -> Message:
    if wire.role == "function":
        raise unsupported(
            "Messages of role 'function' are not supported. Use 'tools', and answer with role 'tool'.",
            f"{path}.role",
        )

    _check_refused_fields(wire, path)
    content = _content_of(wire, path)
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
        tool_calls=_calls_of(wire),
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


def _content_of(wire: WireMessage, path: str) -> str | tuple[ContentPart, ...] | None:
    """Return the content: text, or parts where a picture is among them. A refusal is what was said."""
    if not isinstance(wire.content, list):
        return wire.content if wire.content is not None else wire.refusal

    if not wire.content:
        raise invalid(
            f"'{path}.content' is an empty list. Send text, or at least one part.", f"{path}.content"
        )

    parts = [_part_of(part, wire, f"{path}.content[{at}]") for at, part in enumerate(wire.content)]
    texts = [part.text for part in parts if isinstance(part, Text)]
    return "\n".join(texts) if len(texts) == len(parts) else tuple(parts)


def _part_of(part: AnyPart, wire: WireMessage, path: str) -> ContentPart:
    match part:
        case TextPart():
            return Text(text=part.text)
        case RefusalPart():
            if wire.role != "assistant":
                raise invalid("Parts of type 'refusal' belong to messages of role 'assistant'.", path)
            return Text(text=part.refusal)
        case ImagePart():
            return _picture_of(part, wire, path)
        case AudioPart():
            raise _part_unsupported("input_audio", path, "Transcribe it first, and send the text.")
        case FilePart():
            raise _part_unsupported("file", path, "Send its text, or its pages as pictures.")


def _picture_of(part: ImagePart, wire: WireMessage, path: str) -> Picture:
    if wire.role not in _MAY_SHOW:
        raise invalid(
            f"Pictures belong to messages of role 'user' or 'tool', not '{wire.role}'.", f"{path}.type"
        )

    return image_of_url(part.image_url.url, f"{path}.image_url.url")


def _part_unsupported(kind: str, path: str, fix: str) -> Refused:
    return unsupported(
        f"Content parts of type '{kind}' are not supported by this server yet. {fix}", f"{path}.type"
    )


def _check_count_of_images(messages: Sequence[WireMessage]) -> None:
    """Refuse more pictures than one request may hold, before any is read."""
    count = 0
    for place, message in enumerate(messages):
        parts = message.content if isinstance(message.content, list) else ()
        for at, part in enumerate(parts):
            count += isinstance(part, ImagePart)
            if count > IMAGES_LIMIT:
                raise invalid(
                    f"A request may hold at most {IMAGES_LIMIT} pictures.", f"messages[{place}].content[{at}]"
                )


def _calls_of(wire: WireMessage) -> tuple[ToolCall, ...]:
    return tuple(_call_of(each) for each in wire.tool_calls or ())


def _call_of(call: FunctionToolCall | CustomToolCall) -> ToolCall:
    if isinstance(call, FunctionToolCall):
        function = FunctionCall(name=call.function.name, arguments=call.function.arguments)
        return ToolCall(id=call.id, function=function)

    custom = FunctionCall(name=call.custom.name, arguments=call.custom.input)
    return ToolCall(id=call.id, function=custom, type="custom")


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
