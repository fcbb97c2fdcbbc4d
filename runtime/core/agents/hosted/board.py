"""The tools `read_board` and `write_board`: notes that all agents of a team share, the oldest first."""

from typing import Any

import msgspec

from runtime.core.agents.items import Answered, Called
from runtime.core.agents.plans import PlannedTool
from runtime.core.agents.ports import MoveOn, Records
from runtime.core.agents.results import arguments_of, failed, text_result
from runtime.core.clock import Clock
from runtime.core.errors import LarError
from runtime.core.minting import new_id
from runtime.core.tools import Caller

_KIND = "board"
_MOST_SHOWN = 100


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """One note."""

    by: str
    at: float
    text: str


class Board:
    """A `HostedTool` for both."""

    def __init__(self, records: Records, clock: Clock) -> None:
        self._records = records
        self._clock = clock

    async def call(self, caller: Caller, call: Called, tool: PlannedTool, move: MoveOn) -> Answered:  # noqa: ARG002 - the port's
        """Read or write. Whatever goes wrong is a result."""
        board = str(tool.settings.get("board", ""))
        try:
            if tool.tool == "write_board":
                return await self._write(caller, call, board)
            return await self._read(caller, call, board)
        except LarError as problem:
            return failed(call, problem.fault.message)

    async def _write(self, caller: Caller, call: Called, board: str) -> Answered:
        text = str(arguments_of(call).get("note") or "").strip()
        if not text:
            return failed(call, "Give a 'note'.", "invalid_arguments")
        note = Note(by=caller.agent or caller.principal.id, at=self._clock.now(), text=text)
        key = f"{board}/{new_id('note_')}"
        await self._records.put(caller.principal.tenant, _KIND, key, msgspec.json.encode(note))
        return text_result(call, "Noted.")

    async def _read(self, caller: Caller, call: Called, board: str) -> Answered:
        found: list[Note] = []
        prefix = f"{board}/"
        after = prefix
        while page := await self._records.list_records(caller.principal.tenant, _KIND, after=after):
            mine = [body for _, key, body in page if key.startswith(prefix)]
            found += [msgspec.json.decode(body, type=Note) for body in mine]
            after = page[-1][1]
            if len(mine) < len(page):
                break
        notes = found[-_MOST_SHOWN:]
        told = "\n".join(f"- {each.by}: {each.text}" for each in notes) or "There are no notes yet."
        structured: Any = {"notes": msgspec.to_builtins(notes)}
        return text_result(call, told, structured=structured)
