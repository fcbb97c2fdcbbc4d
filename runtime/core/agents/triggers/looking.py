"""What a folder or a collection held when its trigger started its agent last, so that no change is lost.

    what was there ── differs from what is there ── noted with the start's key ── run ── what is there, noted
Watches and facts only say when to look. What changed while no server ran, or was killed before it could start
the agent, is told at the next start of the server; a start that was noted is never made twice.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import anyio.to_thread
import msgspec
import watchfiles

from runtime.core.agents.definition import Agent, Trigger
from runtime.core.agents.ports import Records
from runtime.core.agents.triggers.gathering import told_names
from runtime.core.agents.triggers.naming import key_of
from runtime.core.agents.triggers.starts import Starts
from runtime.core.clock import Clock
from runtime.core.errors import NotFound
from runtime.core.ids import CollectionId, DocumentId, TenantId
from runtime.core.knowledge import Collection
from runtime.core.recall import Collections, Documents

logger = logging.getLogger(__name__)

MOST_THINGS = 20_000
"""Files or documents that are remembered; of more only what a watch or a fact tells is known."""
_KIND = "trigger_look"
_PAGE = 500

State = dict[str, tuple[str, str]]
"""What is there: by path or id what tells it from what it was before, and its name."""


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What was there, and the start that is under way."""

    seen: State
    following: State | None = None
    """What is there once the start is made."""
    start: str = ""
    """The key of a start that was begun; empty: none."""
    event: str = ""


class Looks:
    """Compares folders and collections with what was there before, and starts agents for the difference."""

    def __init__(
        self,
        records: Records,
        starts: Starts,
        collections: Collections,
        documents: Documents,
        clock: Clock,
    ) -> None:
        self._records = records
        self._starts = starts
        self._collections = collections
        self._documents = documents
        self._clock = clock

    async def begin(self, tenant: TenantId, agent: Agent, trigger: Trigger, *, anew: bool = False) -> bool:
        """Finish a start that was cut off; say whether something has changed since the last one.

        What is looked at for the first time, or `anew`, is noted as it is.
        """
        look = await self._stored(tenant, agent, trigger)
        if look is not None and look.start:
            look = await self._finish(tenant, agent, trigger, look)
        state = await self._state(tenant, trigger)
        if state is None:
            return False

        if look is None or anew:
            await self._keep(tenant, agent, trigger, Look(seen=state))
            logger.info(
                "a trigger looks for changes from here on",
                extra={"agent": agent.name, "trigger": key_of(agent, trigger), "things": len(state)},
            )
            return False
        return state != look.seen

    async def tell(self, tenant: TenantId, agent: Agent, trigger: Trigger, heard: str) -> None:
        """Start the agent for what has changed; for what was `heard` where that is not remembered."""
        look = await self._stored(tenant, agent, trigger)
        state = await self._state(tenant, trigger)
        key = f"{key_of(agent, trigger)}@{self._clock.now():.3f}"
        if look is None or state is None:
            await self._starts.start(tenant, agent, trigger, heard, key)
            return

        names = differences(look.seen, state)
        if names:
            begun = Look(seen=look.seen, following=state, start=key, event=told_names(names, len(names)))
            await self._keep(tenant, agent, trigger, begun)
            await self._finish(tenant, agent, trigger, begun)

    async def _finish(self, tenant: TenantId, agent: Agent, trigger: Trigger, look: Look) -> Look:
        """Make the start that was noted; where its run is there already, it is not made again."""
        await self._starts.start(tenant, agent, trigger, look.event, look.start)
        done = Look(seen=look.seen if look.following is None else look.following)
        await self._keep(tenant, agent, trigger, done)
        return done

    async def _state(self, tenant: TenantId, trigger: Trigger) -> State | None:
        """Return what is there; None where that cannot be said, or is too much."""
        if trigger.files is not None:
            return await anyio.to_thread.run_sync(read_folder, trigger.files)
        return await self._read_collection(tenant, trigger.collection or "")

    async def _read_collection(self, tenant: TenantId, named: str) -> State | None:
        collection = await self._find(tenant, named)
        if collection is None:
            return None

        state: State = {}
        after: DocumentId | None = None
        while page := await self._documents.list_all(
            tenant, collection.id, limit=_PAGE, after=after, is_newest_first=False, status="completed"
        ):
            state |= {each.id: (each.content_hash, each.name) for each in page}
            if len(state) > MOST_THINGS:
                return None
            after = page[-1].id
        return state

    async def _find(self, tenant: TenantId, named: str) -> Collection | None:
        found = await self._collections.find_by_name(tenant, named)
        if found is not None:
            return found
        try:
            return await self._collections.find(tenant, CollectionId(named))
        except NotFound:
            return None

    async def _stored(self, tenant: TenantId, agent: Agent, trigger: Trigger) -> Look | None:
        stored = await self._records.get(tenant, _KIND, key_of(agent, trigger))
        return None if stored is None else msgspec.json.decode(stored, type=Look)

    async def _keep(self, tenant: TenantId, agent: Agent, trigger: Trigger, look: Look) -> None:
        await self._records.put(tenant, _KIND, key_of(agent, trigger), msgspec.json.encode(look))


def differences(before: Mapping[str, tuple[str, str]], after: Mapping[str, tuple[str, str]]) -> list[str]:
    """Return what changed, each with a sign: + new or changed, - gone."""
    new = [f"+{name}" for thing, (stamp, name) in after.items() if before.get(thing) != (stamp, name)]
    kept = {name for _, name in after.values()}
    # A document that replaces another bears its name: that is a change, and nothing is gone.
    gone = [f"-{name}" for thing, (_, name) in before.items() if thing not in after and name not in kept]
    return [*sorted(new), *sorted(gone)]


def read_folder(named: str) -> State | None:
    """Return the files below a folder that a watch tells of; None where it is not there, or too large."""
    folder = Path(named).expanduser()
    if not folder.is_dir():
        return None

    is_watched = watchfiles.DefaultFilter()
    state: State = {}
    for place, folders, files in os.walk(folder):
        folders[:] = [each for each in folders if is_watched(watchfiles.Change.added, f"{place}/{each}")]
        for name in files:
            path = Path(place, name)
            if not is_watched(watchfiles.Change.added, str(path)):
                continue
            try:
                status = path.stat()
            except OSError:
                continue  # it went just now, or points nowhere
            told = path.relative_to(folder).as_posix()
            state[told] = (f"{status.st_mtime_ns}:{status.st_size}", told)
            if len(state) > MOST_THINGS:
                return None
    return state
