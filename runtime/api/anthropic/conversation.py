"""From Anthropic's turns to the core's messages: blocks sorted by kind, results matched to their calls.

Turns of one role that follow each other are one turn. In a user's turn the tool results come first, whatever
stands between them: a model expects them right after its calls.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Literal, NamedTuple

import msgspec

from runtime.api.anthropic.body import (
    Base64Source,
    Block,
    DocumentBlock,
    FileSource,
    ImageBlock,
    RedactedThinkingBlock,
    ResultContent,
    SearchResultBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    UrlSource,
    WireMessage,
)
from runtime.api.bodies import check_plain_json
from runtime.api.errors import Refused, invalid, unsupported
from runtime.api.images import IMAGES_LIMIT, image_of_base64, image_of_url
from runtime.core.messages import ContentPart, FunctionCall, ImagePart, Message, TextPart, ToolCall

Role = Literal["user", "assistant", "system"]

_MAY_HAVE: dict[Role, tuple[type[Block], ...]] = {
    "user": (TextBlock, ImageBlock, DocumentBlock, SearchResultBlock, ToolResultBlock),
    "assistant": (TextBlock, ThinkingBlock, RedactedThinkingBlock, ToolUseBlock),
    "system": (TextBlock,),
}


class Placed(NamedTuple):
    """A block and where it stands in the request."""

    block: Block
    path: str


class Turn(NamedTuple):
    """What one side says until the other one speaks."""

    role: Role
    blocks: list[Placed]
    path: str


def conversation_of(
    system: str | Sequence[TextBlock] | None, messages: Sequence[WireMessage]
) -> tuple[Message, ...]:
    """Return the conversation for the model. Raises Refused with the path of the block at fault."""
    turns = _turns_of(messages)
    _check_kinds(turns)
    _check_count_of_images(turns)
    _check_calls_are_answered(turns)
    told = _system_of(system)
    return (*told, *(message for turn in turns for message in _messages_of(turn)))


def path_of_first_image(messages: Sequence[WireMessage]) -> str | None:
    """Return where the first picture stands, be it in a tool's result."""
    return next(_images_in(_turns_of(messages)), None)


def _turns_of(messages: Sequence[WireMessage]) -> list[Turn]:
    turns = []
    numbered = enumerate(messages)
    for role, group in groupby(numbered, key=lambda each: each[1].role):
        said = list(group)
        blocks = [placed for place, wire in said for placed in _placed(wire, f"messages[{place}].content")]
        turns.append(Turn(role, blocks, f"messages[{said[-1][0]}]"))
    if turns[-1].role == "assistant":
        raise unsupported(
            "The last message is the assistant's. Beginning the answer for the model (prefill) is not "
            "supported: end with a message of role 'user'.",
            turns[-1].path,
        )

    return turns


def _placed(wire: WireMessage, path: str) -> list[Placed]:
    if isinstance(wire.content, str):
        return [Placed(TextBlock(text=wire.content), path)]

    if not wire.content:
        raise invalid(f"'{path}' is an empty list. Send text, or at least one block.", path)

    return [Placed(block, f"{path}[{at}]") for at, block in enumerate(wire.content)]


def _system_of(system: str | Sequence[TextBlock] | None) -> tuple[Message, ...]:
    text = system if isinstance(system, str) else "\n".join(each.text for each in system or ())
    return (Message(role="system", content=text),) if text else ()


# ---- a turn


def _messages_of(turn: Turn) -> Iterator[Message]:
    match turn.role:
        case "system":
            yield Message(role="system", content=_content_of(_parts(turn)))
        case "assistant":
            yield _answer_of(turn)
        case "user":
            yield from _results_of(turn)
            parts = _parts(turn)
            if parts:
                yield Message(role="user", content=_content_of(parts))


def _answer_of(turn: Turn) -> Message:
    """Return an earlier answer. Its texts are joined as they were generated: with nothing between."""
    blocks = [each.block for each in turn.blocks]
    text = "".join(each.text for each in blocks if isinstance(each, TextBlock))
    thoughts = "".join(each.thinking for each in blocks if isinstance(each, ThinkingBlock))
    calls = tuple(
        _call_of(each.block, each.path) for each in turn.blocks if isinstance(each.block, ToolUseBlock)
    )
    return Message(
        role="assistant",
        content=text if text or not calls else None,
        reasoning_content=thoughts or None,
        tool_calls=calls,
    )


def _call_of(block: ToolUseBlock, path: str) -> ToolCall:
    check_plain_json(block.input, f"{path}.input")
    arguments = msgspec.json.encode(block.input).decode()
    return ToolCall(id=block.id, function=FunctionCall(name=block.name, arguments=arguments))


def _results_of(turn: Turn) -> Iterator[Message]:
    for block, path in turn.blocks:
        if isinstance(block, ToolResultBlock):
            content = _content_of(_result_parts(block, f"{path}.content"))
            yield Message(role="tool", content=content, tool_call_id=block.tool_use_id)


def _result_parts(block: ToolResultBlock, path: str) -> list[ContentPart]:
    if isinstance(block.content, str):
        parts: list[ContentPart] = [TextPart(text=block.content)]
    else:
        parts = [_part_of(each, f"{path}[{at}]") for at, each in enumerate(block.content or ())]
    # A chat template knows no failed results: the model is told in words.
    return [TextPart(text="The tool failed:"), *parts] if block.is_error else parts


def _parts(turn: Turn) -> list[ContentPart]:
    return [
        _part_of(block, path)
        for block, path in turn.blocks
        if isinstance(block, TextBlock | ImageBlock | DocumentBlock | SearchResultBlock)
    ]


def _part_of(block: ResultContent, path: str) -> ContentPart:
    match block:
        case TextBlock():
            return TextPart(text=block.text)
        case ImageBlock():
            return _picture_of(block, f"{path}.source")
        case DocumentBlock():
            raise _block_unsupported("document", path, "Send its text, or its pages as pictures.")
        case SearchResultBlock():
            raise _block_unsupported("search_result", path, "Send its title, source and text as text.")


def _picture_of(block: ImageBlock, path: str) -> ImagePart:
    match block.source:
        case Base64Source(data=data):
            return image_of_base64(data, f"{path}.data")
        case UrlSource(url=url):
            return image_of_url(url, f"{path}.url")
        case FileSource():
            raise unsupported(
                "Pictures by file id are not supported by this server yet. Send the picture as base64.",
                f"{path}.type",
            )


def _content_of(parts: Sequence[ContentPart]) -> str | tuple[ContentPart, ...]:
    texts = [part.text for part in parts if isinstance(part, TextPart)]
    return "\n".join(texts) if len(texts) == len(parts) else tuple(parts)


# ---- what must hold between blocks


def _check_kinds(turns: Sequence[Turn]) -> None:
    for turn in turns:
        for block, path in turn.blocks:
            if not isinstance(block, _MAY_HAVE[turn.role]):
                kind = block.__struct_config__.tag
                raise invalid(
                    f"Blocks of type '{kind}' do not belong into messages of role '{turn.role}'.",
                    f"{path}.type",
                )


def _check_count_of_images(turns: Sequence[Turn]) -> None:
    """Refuse more pictures than one request may hold, before any is read."""
    for count, path in enumerate(_images_in(turns), start=1):
        if count > IMAGES_LIMIT:
            raise invalid(f"A request may hold at most {IMAGES_LIMIT} pictures.", path)


def _images_in(turns: Sequence[Turn]) -> Iterator[str]:
    for turn in turns:
        for block, path in turn.blocks:
            if isinstance(block, ImageBlock):
                yield path
            elif isinstance(block, ToolResultBlock) and isinstance(block.content, list):
                for at, each in enumerate(block.content):
                    if isinstance(each, ImageBlock):
                        yield f"{path}.content[{at}]"


def _check_calls_are_answered(turns: Sequence[Turn]) -> None:
    """Refuse a tool result without its call in the turn before, and a call without its result in the next."""
    waiting: dict[str, str] = {}
    for turn in turns:
        if turn.role == "system":
            continue

        given = _unique(turn, _result_id, "answers the call '{}' a second time")
        for call_id, path in given.items():
            if call_id not in waiting:
                raise invalid(
                    f"'{path}' answers the call '{call_id[:80]}', which the message before does not make.",
                    f"{path}.tool_use_id",
                )

        for call_id, path in waiting.items():
            if call_id not in given:
                raise invalid(
                    f"Each 'tool_use' must be followed by its 'tool_result' in the next message. The call "
                    f"'{call_id[:80]}' has none.",
                    path,
                )

        waiting = _unique(turn, _call_id, "repeats the call id '{}'")


def _unique(turn: Turn, id_of: Callable[[Block], str | None], fault: str) -> dict[str, str]:
    """Return the ids that a turn's blocks carry, with the path of each. Raises Refused where one is twice."""
    found: dict[str, str] = {}
    for block, path in turn.blocks:
        each = id_of(block)
        if each in found:
            raise invalid(f"'{path}' {fault.format(each[:80])}.", path)

        if each is not None:
            found[each] = path
    return found


def _call_id(block: Block) -> str | None:
    return block.id if isinstance(block, ToolUseBlock) else None


def _result_id(block: Block) -> str | None:
    return block.tool_use_id if isinstance(block, ToolResultBlock) else None


def _block_unsupported(kind: str, path: str, fix: str) -> Refused:
    return unsupported(f"Blocks of type '{kind}' are not supported by this server yet. {fix}", f"{path}.type")
