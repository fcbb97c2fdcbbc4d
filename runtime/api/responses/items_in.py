"""From a request's input to items: every kind that a response gives comes back as what it was.

What a stored file, a sealed text or a reference stands for is looked up here; what calls and results mean to
each other is checked against the context, in `check_pairs`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from runtime.api.bodies import check_plain_json
from runtime.api.errors import invalid, unsupported
from runtime.api.images import IMAGES_LIMIT
from runtime.api.responses import calls_in
from runtime.api.responses.errors import approval_missing, call_missing, output_missing
from runtime.api.responses.files_in import InputFiles
from runtime.api.responses.item_bodies import (
    ITEMS_LIMIT,
    Content,
    InputAudio,
    InputFile,
    InputImage,
    InputText,
    OutputRefusal,
    OutputText,
    PlainText,
    Typed,
    WireCallOutput,
    WireCompaction,
    WireComputerOutput,
    WireItem,
    WireMessage,
    WirePart,
    WireReasoning,
    WireReference,
    WireTools,
    shape_item,
)
from runtime.api.responses.sealing import Sealer
from runtime.core.agents.items import (
    Answered,
    AnyItem,
    Called,
    Citation,
    Compacted,
    Decided,
    Foreign,
    ItemStatus,
    Part,
    Refusal,
    Said,
    Text,
    Thought,
    Wanted,
)
from runtime.core.ids import TenantId
from runtime.core.minting import new_id

_ID_LIMIT_CHARS = 256
_MAY_SHOW = frozenset({"user"})
"""The roles whose messages may hold pictures and files."""
_COMPACTION = "compaction_trigger"


class StoredItems(Protocol):
    """Items that are kept here, by their ids."""

    async def item(self, tenant: TenantId, item: str) -> Sequence[AnyItem]:
        """Return an item, a call that Lar carried out with its result. Raises Refused (404)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outside:
    """What an input may name that is not in it."""

    tenant: TenantId
    files: InputFiles
    stored: StoredItems
    sealer: Sealer
    mint: Callable[[str], str] = new_id


@dataclass(slots=True)
class ReadInput:
    """An input, as a run takes it."""

    items: list[AnyItem] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=list)
    """That came as items."""
    wants_compaction: bool = False


async def read_input(given: str | Sequence[dict[str, Any]] | None, outside: Outside) -> ReadInput:
    """Return what was given. Raises Refused, naming the path."""
    reader = _Reader(outside)
    if isinstance(given, str):
        text = (Text(text=given),)
        reader.read.items.append(Said(id=outside.mint("msg_"), role="user", parts=text))
        return reader.read

    items = list(given or ())
    if len(items) > ITEMS_LIMIT:
        raise invalid(f"'input' holds {len(items)} items; at most {ITEMS_LIMIT} are taken.", "input")

    check_plain_json(items, "input")
    typed = [shape_item(each, f"input[{number}]") for number, each in enumerate(items)]
    for each in typed:
        await reader.take(each)
    return reader.read


def check_pairs(context: Sequence[AnyItem], items: Sequence[AnyItem]) -> None:
    """Refuse a result without its call, a call without its result, and an answer that nobody asked for.

    `context` stands before the items. Raises Refused (400).
    """
    every = [*context, *items]
    called = {each.call_id for each in every if isinstance(each, Called)}
    answered = {each.call_id for each in every if isinstance(each, Answered)}
    wanted = {each.id for each in every if isinstance(each, Wanted)}
    for each in items:
        if isinstance(each, Answered) and each.call_id not in called:
            raise call_missing(each.call_id)

        if isinstance(each, Decided) and each.wanted not in wanted:
            raise approval_missing(each.wanted)

    for each in every:
        if isinstance(each, Called) and _is_owed(each) and each.call_id not in answered:
            raise output_missing(each.call_id)


def _is_owed(called: Called) -> bool:
    return called.by_client and called.status == "completed"


class _Reader:
    """Reads one input, item by item."""

    def __init__(self, outside: Outside) -> None:
        self.read = ReadInput()
        self._outside = outside
        self._pictures = 0
        self._taken: set[str] = set()

    async def take(self, given: Typed) -> None:
        """Add an item, with its result where it has one."""
        wire, mint = given.wire, self._outside.mint
        match wire:
            case WireMessage():
                self.read.items.append(await self._message(wire, given.path))
            case WireCallOutput():
                self.read.items.append(await self._output(wire, given))
            case WireComputerOutput():
                self.read.items.append(await self._screenshot(wire, given))
            case WireReasoning():
                self.read.items.append(self._reasoning(wire, given.path))
            case WireCompaction():
                self.read.items.append(self._compaction(wire, given.path))
            case WireReference():
                self.read.items += await self._outside.stored.item(self._outside.tenant, wire.id)
            case WireTools():
                self.read.tools += wire.tools
                self.read.items.append(Foreign(id=self._id(wire, "at_"), body=given.body))
            case _:
                if given.type == _COMPACTION:
                    self.read.wants_compaction = True
                prefix = calls_in.PREFIXES.get(given.type, "item_")
                self.read.items += calls_in.items_of(given, self._id(wire, prefix), mint)

    def _id(self, wire: WireItem, prefix: str) -> str:
        """Return an item's own id, so that it is known again; one that is taken or none is made anew."""
        given = wire.id
        if not given or len(given) > _ID_LIMIT_CHARS or given in self._taken:
            given = self._outside.mint(prefix)
        self._taken.add(given)
        return given

    async def _message(self, wire: WireMessage, path: str) -> Said:
        parts = await self._parts(wire.content, f"{path}.content", can_show=wire.role in _MAY_SHOW)
        return Said(
            id=self._id(wire, "msg_"),
            role=wire.role,
            parts=parts,
            status=_state(wire),
            phase=wire.phase if wire.role == "assistant" else None,
        )

    async def _output(self, wire: WireCallOutput, given: Typed) -> Answered:
        parts = await self._parts(wire.output, f"{given.path}.output", can_show=True)
        return Answered(
            id=self._id(wire, "fco_"),
            call_id=wire.call_id,
            parts=parts,
            form="custom" if given.type == "custom_tool_call_output" else "function",
            status=_state(wire),
        )

    async def _screenshot(self, wire: WireComputerOutput, given: Typed) -> Answered:
        self._count_picture(f"{given.path}.output")
        picture = await self._outside.files.picture(wire.output, f"{given.path}.output")
        return Answered(
            id=self._id(wire, "cuo_"), call_id=wire.call_id, parts=(picture,), extra={"wire": given.body}
        )

    def _reasoning(self, wire: WireReasoning, path: str) -> Thought:
        if wire.encrypted_content is not None:
            text = self._outside.sealer.open(
                "reasoning", self._outside.tenant, wire.encrypted_content, f"{path}.encrypted_content"
            )
        else:
            text = "".join(each.text for each in wire.content or ())
        return Thought(
            id=self._id(wire, "rs_"),
            text=text,
            summary=tuple(each.text for each in wire.summary or ()),
            status=_state(wire),
        )

    def _compaction(self, wire: WireCompaction, path: str) -> Compacted:
        param = f"{path}.encrypted_content"
        outside = self._outside
        summary = outside.sealer.open("compaction", outside.tenant, wire.encrypted_content, param)
        return Compacted(id=self._id(wire, "cmp_"), summary=summary)

    async def _parts(self, content: Content, path: str, *, can_show: bool) -> tuple[Part, ...]:
        if isinstance(content, str):
            return (Text(text=content),)
        return tuple(
            [
                await self._part(part, f"{path}[{number}]", can_show=can_show)
                for number, part in enumerate(content)
            ]
        )

    async def _part(self, part: WirePart, path: str, *, can_show: bool) -> Part:
        match part:
            case InputText() | PlainText():
                return Text(text=part.text)
            case OutputText():
                return Text(text=part.text, citations=citations_of(part.annotations or ()))
            case OutputRefusal():
                return Refusal(text=part.refusal)
            case InputAudio():
                message = "Audio is not supported by this server yet. Transcribe it first, and send the text."
                raise unsupported(message, f"{path}.type")
            case InputImage() | InputFile() if not can_show:
                raise invalid("Pictures and files belong to messages of role 'user'.", f"{path}.type")
            case InputImage():
                self._count_picture(path)
                return await self._outside.files.picture(part, path)
            case InputFile():
                return await self._outside.files.document(part, path)

    def _count_picture(self, path: str) -> None:
        self._pictures += 1
        if self._pictures > IMAGES_LIMIT:
            raise invalid(f"A request may hold at most {IMAGES_LIMIT} pictures.", path)


def citations_of(annotations: Sequence[dict[str, Any]]) -> tuple[Citation, ...]:
    """Return citations of files and pages; other annotations say nothing to a model."""
    found: list[Citation] = []
    for each in annotations:
        match each:
            case {"type": "file_citation", "file_id": str(file)}:
                index, name = each.get("index"), each.get("filename")
                found.append(Citation(file_id=file, filename=_text(name), index=_place(index)))
            case {"type": "url_citation", "url": str(url)}:
                found.append(
                    Citation(
                        url=url,
                        title=_text(each.get("title")),
                        start=_place(each.get("start_index")),
                        end=_place(each.get("end_index")),
                    )
                )
            case _:
                continue
    return tuple(found)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _place(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _state(wire: WireItem) -> ItemStatus:
    return "incomplete" if wire.status == "incomplete" else "completed"
