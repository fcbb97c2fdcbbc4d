"""From what a model gives to items and happenings: one item at a time, each closed before the next begins.

The order is the model's: reasoning, text, calls. A message begins with its first visible character, so the
blanks that some models put before a call make no item. A call whose tool needs a person's yes first comes out
as `Wanted` where the asker answers by another request.
"""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field

import msgspec

from runtime.core.agents.happenings import (
    AnyHappening,
    ArgumentsGrew,
    ItemBegan,
    ItemEnded,
    TextCited,
    TextGrew,
    ThoughtGrew,
)
from runtime.core.agents.items import (
    AnyItem,
    Called,
    CallForm,
    Citation,
    ItemStatus,
    Said,
    Text,
    Thought,
    Wanted,
)
from runtime.core.agents.plans import Plan, PlannedTool
from runtime.core.agents.repetition import RepetitionWatch
from runtime.core.messages import ChosenLogprob, Delta, ToolCallDelta

Mint = Callable[[str], str]
"""Returns a fresh id with this prefix; a replay mints the same ones."""

ID_PREFIXES: dict[CallForm, str] = {
    "function": "fc_",
    "custom": "ctc_",
    "mcp": "mcp_",
    "file_search": "fs_",
    "web_search": "ws_",
    "code_interpreter": "ci_",
    "image_generation": "ig_",
    "shell": "sh_",
    "local_shell": "lsh_",
    "apply_patch": "apc_",
}


def needs_person(plan: Plan, tool: PlannedTool) -> bool:
    """Say whether the asker must agree by another request before this tool is called."""
    return tool.approval == "always" and tool.executor != "client" and plan.door == "responses"


def called_of(
    tool: PlannedTool | None, item_id: str, call_id: str, name: str, *, is_custom: bool = False
) -> Called:
    """Return a call that has just begun. A name that no tool has is Lar's to answer: with an error."""
    if tool is None:
        form: CallForm = "custom" if is_custom else "function"
        return Called(
            id=item_id,
            call_id=call_id,
            name=name,
            arguments="",
            form=form,
            by_client=False,
            status="in_progress",
        )

    return Called(
        id=item_id,
        call_id=call_id,
        name=name,
        arguments="",
        form=tool.form,
        by_client=tool.executor == "client",
        server=tool.server,
        tool=tool.tool,
        namespace=tool.namespace,
        status="in_progress",
    )


@dataclass(slots=True)
class _Growing:
    """The item that is being written."""

    place: int
    item: Said | Thought | Called
    index: int | None = None
    """Of a call: the model's number for it."""
    is_silent: bool = False
    """Readers will see a `Wanted` instead."""
    pieces: list[str] = field(default_factory=list)
    logprobs: list[ChosenLogprob] = field(default_factory=list)
    watch: RepetitionWatch = field(default_factory=RepetitionWatch)

    def grow(self, text: str) -> None:
        """Take what was added."""
        self.pieces.append(text)
        self.watch.hear(text)


class TurnWriter:
    """One turn as it comes about. `hear` takes deltas; `finish` or `abandon` comes once, last."""

    def __init__(
        self,
        plan: Plan,
        first_place: int,
        mint: Mint,
        taken: Container[str],
        cite: Callable[[str], Sequence[Citation]] | None = None,
    ) -> None:
        self.items: list[AnyItem] = []
        """What is finished, in order."""
        self._plan = plan
        self._tools = {each.name: each for each in plan.tools}
        self._place = first_place
        self._mint = mint
        self._taken = taken
        self._cite = cite
        self._own: set[str] = set()
        self._current: _Growing | None = None
        self._blanks = ""
        self._blank_logprobs: tuple[ChosenLogprob, ...] = ()

    @property
    def has_begun(self) -> bool:
        """Whether readers have seen anything of this turn."""
        return bool(self.items) or self._current is not None

    @property
    def is_repeating(self) -> bool:
        """Whether what is being written only repeats itself."""
        return self._current is not None and self._current.watch.is_repeating

    def hear(self, delta: Delta) -> list[AnyHappening]:
        """Take what one step added."""
        told: list[AnyHappening] = []
        if delta.reasoning:
            told += self._think(delta.reasoning)
        if delta.text:
            told += self._say(delta.text, delta.logprobs)
        for piece in delta.tool_calls:
            told += self._call(piece)
        return told

    def finish(self, *, is_cut: bool) -> list[AnyHappening]:
        """Close what is open; where a limit cut the model off, the item it was at stays incomplete."""
        told: list[AnyHappening] = []
        if not is_cut and not any(isinstance(each, Said | Called | Wanted) for each in self._all()):
            told += self._say(self._blanks, self._blank_logprobs, is_forced=True)
        return [*told, *self._close("incomplete" if is_cut else "completed")]

    def abandon(self) -> list[AnyHappening]:
        """Close what readers have seen of a turn that broke or was given up; no call of it is made."""
        told = self._close("incomplete")
        first = self._place - len(self.items)
        for number, item in enumerate(self.items):
            if isinstance(item, Called) and not item.by_client and item.status == "completed":
                cut = msgspec.structs.replace(item, status="incomplete")
                self.items[number] = cut
                told.append(ItemEnded(place=first + number, item=cut))
        return told

    def _all(self) -> list[AnyItem]:
        return self.items if self._current is None else [*self.items, self._current.item]

    def _think(self, text: str) -> list[AnyHappening]:
        told: list[AnyHappening] = []
        if self._current is None or not isinstance(self._current.item, Thought):
            told += self._open(Thought(id=self._mint("rs_"), text="", status="in_progress"))
        current = self._growing()
        current.grow(text)
        return [*told, ThoughtGrew(place=current.place, item_id=current.item.id, delta=text)]

    def _say(
        self, text: str, logprobs: tuple[ChosenLogprob, ...], *, is_forced: bool = False
    ) -> list[AnyHappening]:
        told: list[AnyHappening] = []
        if self._current is None or not isinstance(self._current.item, Said):
            if not is_forced:
                text, logprobs = self._blanks + text, (*self._blank_logprobs, *logprobs)
                if not text.strip():
                    self._blanks, self._blank_logprobs = text, logprobs
                    return []

            said = Said(
                id=self._mint("msg_"),
                role="assistant",
                parts=(Text(text=""),),
                status="in_progress",
                author=self._plan.agent,
            )
            told += self._open(said)

        current = self._growing()
        current.grow(text)
        current.logprobs += logprobs
        if text:
            told.append(
                TextGrew(place=current.place, item_id=current.item.id, part=0, delta=text, logprobs=logprobs)
            )
        return told

    def _call(self, piece: ToolCallDelta) -> list[AnyHappening]:
        told: list[AnyHappening] = []
        if self._current is None or self._current.index != piece.index:
            if piece.name is None:
                return []  # a late piece of a call that is closed: models write one call after the other

            told += self._open_call(piece, piece.name)

        current = self._growing()
        if piece.arguments:
            told += self._grow_arguments(current, piece.arguments)
        return told

    def _open_call(self, piece: ToolCallDelta, name: str) -> list[AnyHappening]:
        tool = self._tools.get(name)
        form: CallForm = ("custom" if piece.type == "custom" else "function") if tool is None else tool.form
        called = called_of(
            tool,
            self._mint(ID_PREFIXES[form]),
            self._call_id(piece.id),
            name,
            is_custom=piece.type == "custom",
        )
        is_silent = tool is not None and needs_person(self._plan, tool)
        return self._open(called, index=piece.index, is_silent=is_silent)

    def _call_id(self, given: str | None) -> str:
        """Return the model's id of a call, unless the run has such a one already."""
        call_id = given
        while call_id is None or call_id in self._taken or call_id in self._own:
            call_id = self._mint("call_")
        self._own.add(call_id)
        return call_id

    def _grow_arguments(self, current: _Growing, text: str) -> list[AnyHappening]:
        current.grow(text)
        if current.is_silent:
            return []

        return [ArgumentsGrew(place=current.place, item_id=current.item.id, delta=text)]

    def _growing(self) -> _Growing:
        assert self._current is not None
        return self._current

    def _open(
        self, item: Said | Thought | Called, *, index: int | None = None, is_silent: bool = False
    ) -> list[AnyHappening]:
        told = self._close("completed", is_before_call=isinstance(item, Called))
        self._blanks, self._blank_logprobs = "", ()
        self._current = _Growing(place=self._place, item=item, index=index, is_silent=is_silent)
        self._place += 1
        return told if is_silent else [*told, ItemBegan(place=self._current.place, item=item)]

    def _close(self, status: ItemStatus, *, is_before_call: bool = False) -> list[AnyHappening]:
        current = self._current
        if current is None:
            return []

        self._current = None
        match current.item:
            case Said() as said:
                return self._close_said(current, said, status, is_before_call=is_before_call)
            case Thought() as thought:
                ended = msgspec.structs.replace(thought, text="".join(current.pieces), status=status)
                self.items.append(ended)
                return [ItemEnded(place=current.place, item=ended)]
            case Called() as called:
                return self._close_called(current, called, status)

    def _close_said(
        self, current: _Growing, said: Said, status: ItemStatus, *, is_before_call: bool
    ) -> list[AnyHappening]:
        phase = "commentary" if is_before_call else "final_answer"
        written = "".join(current.pieces)
        citations = tuple(self._cite(written)) if self._cite is not None else ()
        text = Text(text=written, citations=citations, logprobs=tuple(current.logprobs))
        ended = msgspec.structs.replace(
            said, parts=(text,), status=status, phase=phase if status == "completed" else None
        )
        self.items.append(ended)
        place, item_id = current.place, ended.id
        cited = [TextCited(place=place, item_id=item_id, part=0, citation=each) for each in citations]
        return [*cited, ItemEnded(place=place, item=ended)]

    def _close_called(self, current: _Growing, called: Called, status: ItemStatus) -> list[AnyHappening]:
        told: list[AnyHappening] = []
        if status == "completed" and not "".join(current.pieces).strip() and called.form != "custom":
            told += self._grow_arguments(current, "{}")

        ended = msgspec.structs.replace(called, arguments="".join(current.pieces), status=status)
        if current.is_silent:
            return self._want(current, ended)

        self.items.append(ended)
        if ended.by_client or status != "completed":
            told.append(ItemEnded(place=current.place, item=ended))
        return told

    def _want(self, current: _Growing, called: Called) -> list[AnyHappening]:
        """Let the asker decide. A call that was cut off is nothing that could be decided."""
        if called.status != "completed":
            self._place = current.place
            return []

        tool = called.tool or called.name
        wanted = Wanted(
            id=self._mint("mcpr_"),
            call_id=called.call_id,
            name=called.name,
            server=called.server,
            tool=tool,
            arguments=called.arguments,
        )
        self.items.append(wanted)
        return [ItemBegan(place=current.place, item=wanted), ItemEnded(place=current.place, item=wanted)]
