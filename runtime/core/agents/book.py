"""The agents of a home as files: `$LAR_HOME/agents/<name>.yaml`, beside those that come with Lar.

A person may edit them with any editor: each look reads what has changed since the last one. A file that
cannot be read is listed with its fault and starts nothing. Tenants other than the local one have folders of
their own.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import anyio
import anyio.to_thread
import msgspec

from runtime.core.agents.definition import Agent, AgentState
from runtime.core.agents.reading import read_agent, version_of, write_agent
from runtime.core.errors import Conflict, Fault, LarError, NotFound, RequestInvalid
from runtime.core.ids import LOCAL_TENANT, TenantId
from runtime.core.writing import write_private

FOLDER = "agents"
_PAUSED = ".paused.json"
_NAME = re.compile(r"[\w-]+")
_SUFFIXES = (".yaml", ".yml", ".json")

Look = Callable[[TenantId, Agent], Sequence[str]]
"""Says what stands against a run of the agent now."""


class _Read(NamedTuple):
    """A file as it was read."""

    stamp: tuple[int, int]
    agent: Agent | None
    fault: str
    changed_at: float


def shipped_folder() -> Path:
    """Return where the agents lie that come with Lar."""
    return Path(__file__).parent / "shipped"


class FileBook:
    """Fulfils `AgentBook`."""

    def __init__(self, home: Path, look: Look, shipped: Path | None = None) -> None:
        self._folder = home / FOLDER
        self._shipped = shipped or shipped_folder()
        self._look = look
        self._read: dict[Path, _Read] = {}
        self._lock = anyio.Lock()

    async def list_agents(self, tenant: TenantId) -> list[AgentState]:
        """Return all by name, those with broken files included."""
        async with self._lock:
            found = await anyio.to_thread.run_sync(self._all, tenant)
        return [self._looked_at(tenant, each) for each in found]

    async def tenants(self) -> list[TenantId]:
        """Return who has agents, the local tenant first."""

        def look() -> list[TenantId]:
            if not self._folder.is_dir():
                return []
            return [TenantId(each.name[1:]) for each in sorted(self._folder.glob("@*")) if each.is_dir()]

        return [LOCAL_TENANT, *await anyio.to_thread.run_sync(look)]

    async def find(self, tenant: TenantId, name: str) -> AgentState:
        """Return one. Raises NotFound."""
        for each in await self.list_agents(tenant):
            if each.agent.name == name:
                return each
        raise _unknown(name)

    async def create(self, tenant: TenantId, agent: Agent) -> AgentState:
        """Add one. Raises Conflict where the name is taken."""
        async with self._lock:
            known = await anyio.to_thread.run_sync(self._all, tenant)
            if any(each.agent.name == agent.name for each in known):
                message = f"There is an agent '{agent.name}' already. Change it, or take another name."
                raise Conflict(Fault(code="conflict", message=message, param="name"))
            await anyio.to_thread.run_sync(self._write, tenant, agent)
        return await self.find(tenant, agent.name)

    async def change(self, tenant: TenantId, agent: Agent, version: str | None = None) -> AgentState:
        """Put a definition in the place of the former; of an agent that comes with Lar, a copy is made.

        Raises NotFound, Conflict where it is not the version that was read.
        """
        async with self._lock:
            known = {each.agent.name: each for each in await anyio.to_thread.run_sync(self._all, tenant)}
            former = known.get(agent.name)
            if former is None:
                raise _unknown(agent.name)
            if version is not None and former.version != version:
                message = f"'{agent.name}' was changed meanwhile. Read it again, and change that."
                raise Conflict(Fault(code="conflict", message=message, param="version"))
            await anyio.to_thread.run_sync(self._write, tenant, agent)
        return await self.find(tenant, agent.name)

    async def remove(self, tenant: TenantId, name: str) -> None:
        """Forget one; one that comes with Lar is as it came afterwards. Raises NotFound, Conflict."""
        async with self._lock:
            path = await anyio.to_thread.run_sync(self._own_file, tenant, name)
            if path is None:
                if await anyio.to_thread.run_sync(self._shipped_file, name) is not None:
                    message = f"'{name}' comes with Lar and is as it came. Pause it if it shall not run."
                    raise Conflict(Fault(code="conflict", message=message, param="name"))
                raise _unknown(name)
            await anyio.to_thread.run_sync(path.unlink)
            paused = await anyio.to_thread.run_sync(self._paused, tenant)
            if name in paused:
                left = {each: told for each, told in paused.items() if each != name}
                await anyio.to_thread.run_sync(self._write_paused, tenant, left)

    async def pause(self, tenant: TenantId, name: str, *, is_paused: bool) -> AgentState:
        """Let no trigger start it and refuse runs, or take it up again. Raises NotFound."""
        await self.find(tenant, name)
        async with self._lock:
            paused = await anyio.to_thread.run_sync(self._paused, tenant)
            if paused.get(name) != is_paused:
                await anyio.to_thread.run_sync(self._write_paused, tenant, {**paused, name: is_paused})
        return await self.find(tenant, name)

    async def text(self, tenant: TenantId, name: str) -> str:
        """Return the definition as it was written, comments included. Raises NotFound."""
        text = await anyio.to_thread.run_sync(self._text_of, tenant, name)
        if text is None:
            raise _unknown(name)
        return text

    async def write_text(self, tenant: TenantId, name: str, text: str) -> AgentState:
        """Put a text in the place of the definition, comments and all. Raises NotFound, RequestInvalid."""
        agent = read_agent(text)
        if agent.name != name:
            message = f"The text is of the agent '{agent.name}', not of '{name}'."
            raise RequestInvalid(Fault(code="invalid_request", message=message, param="name"))
        await self.find(tenant, name)
        async with self._lock:
            await anyio.to_thread.run_sync(self._write, tenant, agent, text)
        return await self.find(tenant, name)

    def _looked_at(self, tenant: TenantId, state: AgentState) -> AgentState:
        if state.faults:
            return state
        return msgspec.structs.replace(state, faults=tuple(self._look(tenant, state.agent)))

    def _place(self, tenant: TenantId) -> Path:
        return self._folder if tenant == LOCAL_TENANT else self._folder / f"@{tenant}"

    def _all(self, tenant: TenantId) -> list[AgentState]:
        """Read what has changed; an own file stands in for the shipped one of the same name."""
        paused = self._paused(tenant)
        found: dict[str, AgentState] = {}
        for folder, is_shipped in ((self._shipped, True), (self._place(tenant), False)):
            if not folder.is_dir():
                continue
            for path in sorted(folder.iterdir()):
                if path.suffix in _SUFFIXES and not path.name.startswith("."):
                    state = self._state_of(path, is_shipped=is_shipped, paused=paused)
                    found[state.agent.name] = state
        return [found[name] for name in sorted(found)]

    def _state_of(self, path: Path, *, is_shipped: bool, paused: Mapping[str, bool]) -> AgentState:
        read = self._fresh(path)
        agent = read.agent or Agent(name=path.stem)
        return AgentState(
            agent=agent,
            version=version_of(agent) if read.agent else "",
            is_paused=paused.get(agent.name, agent.paused),
            is_shipped=is_shipped,
            faults=(read.fault,) if read.fault else (),
            changed_at=read.changed_at,
        )

    def _fresh(self, path: Path) -> _Read:
        try:
            told = path.stat()
            stamp = (told.st_mtime_ns, told.st_size)
            known = self._read.get(path)
            if known is not None and known.stamp == stamp:
                return known
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeError) as problem:
            return _Read((0, 0), None, f"{path.name} cannot be read: {problem}", 0.0)

        try:
            agent = read_agent(text, path.name)
        except LarError as problem:
            read = _Read(stamp, None, problem.fault.message, told.st_mtime)
        else:
            fault = "" if agent.name == path.stem else _misnamed(agent.name, path)
            read = _Read(stamp, None if fault else agent, fault, told.st_mtime)
        self._read[path] = read
        return read

    def _own_file(self, tenant: TenantId, name: str) -> Path | None:
        return _file_of(self._place(tenant), name)

    def _shipped_file(self, name: str) -> Path | None:
        return _file_of(self._shipped, name)

    def _text_of(self, tenant: TenantId, name: str) -> str | None:
        path = self._own_file(tenant, name) or self._shipped_file(name)
        return None if path is None else path.read_text(encoding="utf-8")

    def _write(self, tenant: TenantId, agent: Agent, text: str | None = None) -> None:
        path = self._own_file(tenant, agent.name) or self._place(tenant) / f"{agent.name}.yaml"
        if path.suffix == ".json" and text is None:
            text = msgspec.json.format(msgspec.json.encode(agent)).decode() + "\n"
        write_private(path, text or write_agent(agent))

    def _paused(self, tenant: TenantId) -> dict[str, bool]:
        """Return what people have said, by the agent's name."""
        path = self._place(tenant) / _PAUSED
        if not path.is_file():
            return {}
        try:
            return msgspec.json.decode(path.read_bytes(), type=dict[str, bool])
        except msgspec.MsgspecError as problem:
            message = f"{path} cannot be read ({problem}). Remove it: no agent is paused then."
            raise LarError(Fault(code="store_damaged", message=message)) from problem

    def _write_paused(self, tenant: TenantId, told: Mapping[str, bool]) -> None:
        write_private(self._place(tenant) / _PAUSED, msgspec.json.encode(told, order="deterministic"))


def _file_of(folder: Path, name: str) -> Path | None:
    if not _NAME.fullmatch(name):
        return None
    for suffix in _SUFFIXES:
        path = folder / f"{name}{suffix}"
        if path.is_file():
            return path
    return None


def _misnamed(name: str, path: Path) -> str:
    fix = f"Call the file {name}{path.suffix}, or the agent '{path.stem}'."
    return f"{path.name} holds the agent '{name}'. {fix}"


def _unknown(name: str) -> NotFound:
    message = f"There is no agent '{name[:80]}'. 'lar agents list' shows those there are."
    return NotFound(Fault(code="not_found", message=message))
