"""The tool `code_interpreter`: Python in a sandbox that keeps variables and files from call to call."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from runtime.core.agents.items import Answered, Called, Part, Picture, Text
from runtime.core.agents.plans import PlannedTool
from runtime.core.agents.ports import MoveOn
from runtime.core.agents.results import arguments_of, failed
from runtime.core.errors import LarError
from runtime.core.gate.words import Gate, GateResource, Question
from runtime.core.ids import CallId, TenantId
from runtime.core.minting import new_id
from runtime.core.tools import Caller

_RESOURCE = GateResource(
    kind="Tool",
    id="mcp__lar__code_interpreter",
    attributes={
        "server": "lar",
        "name": "code_interpreter",
        "trust": "internal",
        "is_internal": True,
        "is_read_only": True,
        "is_destructive": False,
        "is_open_world": False,
    },
)
"""As policies see it: it changes nothing but its own folder, and reaches nothing."""
_MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif"}


class RanProgram(msgspec.Struct, frozen=True, kw_only=True):
    """What a program came to."""

    container: str
    logs: str = ""
    """What it printed, and how it failed if it did."""
    is_error: bool = False
    note: str = ""
    """What happened to the sandbox itself: it was begun anew, or a limit was met."""
    pictures: tuple[tuple[str, bytes], ...] = ()
    """Pictures that it saved, by name."""
    files: tuple[str, ...] = ()
    """Other files that it wrote, by name."""


class Sandboxes(Protocol):
    """Where programs run. A container is one tenant's, and gone some time after its last use."""

    async def missing(self) -> str:
        """Return why this machine has no sandbox, with the way out; empty where it has."""

    async def open(
        self,
        tenant: TenantId,
        container: str | None,
        files: Mapping[str, Path],
        memory_bytes: int | None = None,
    ) -> str:
        """Find a container, or make one with these files by name; return its id.

        Raises NotFound, RequestInvalid, StoreFull, Conflict where there are too many.
        """

    async def run(self, tenant: TenantId, container: str, code: str) -> RanProgram:
        """Run a program; one at a time in a container. Raises NotFound, RequestInvalid."""


class CodeInterpreter:
    """A `HostedTool`; containers are opened before the run that uses them."""

    def __init__(self, sandboxes: Sandboxes, gate: Gate) -> None:
        self._sandboxes = sandboxes
        self._gate = gate

    async def call(self, caller: Caller, call: Called, tool: PlannedTool, move: MoveOn) -> Answered:
        """Run a program. Whatever goes wrong is a result."""
        code = arguments_of(call).get("code")
        if not isinstance(code, str) or not code.strip():
            return failed(call, "Give 'code': the program to run.", "invalid_arguments")

        ruling = await self._gate.rule(_question(caller, call, code))
        if ruling.outcome != "allow":
            return failed(call, ruling.reason, "denied")
        move("running", 0.0, None)
        container = str(tool.settings.get("container", ""))
        try:
            ran = await self._sandboxes.run(caller.principal.tenant, container, code)
        except LarError as problem:
            return failed(call, problem.fault.message, "unreachable")
        return _answered(call, ran)


def _question(caller: Caller, call: Called, code: str) -> Question:
    return Question(
        principal=caller.principal,
        action="call_tool",
        resource=_RESOURCE,
        arguments={"code": code},
        door=caller.door,
        session=caller.session,
        run=caller.run,
        agent=caller.agent,
        call=CallId(call.call_id),
    )


def _answered(call: Called, ran: RanProgram) -> Answered:
    """Return what the model reads, and what faces show: logs, and pictures as data URLs.

    A program that fails is no failed call: its traceback is what it printed.
    """
    outputs: list[dict[str, Any]] = []
    logs = "\n".join(each for each in (ran.logs, ran.note) if each)
    if logs:
        outputs.append({"type": "logs", "logs": logs})
    parts: list[Part] = [Text(text=_told(ran, logs))]
    for name, data in ran.pictures:
        kind = _MEDIA_TYPES.get(Path(name).suffix.lower(), "image/png")
        outputs.append({"type": "image", "url": f"data:{kind};base64,{base64.b64encode(data).decode()}"})
        parts.append(Picture(data=data))
    return Answered(
        id=new_id("res_"),
        call_id=call.call_id,
        parts=tuple(parts),
        structured={"container_id": ran.container, "outputs": outputs, "files": list(ran.files)},
        form=call.form,
    )


def _told(ran: RanProgram, logs: str) -> str:
    lines = [logs or "(it printed nothing)"]
    if ran.files:
        lines.append(f"Files written: {', '.join(ran.files)}")
    return "\n".join(lines)
