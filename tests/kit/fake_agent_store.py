"""Runs, conversations and small records in memory: what agents keep, for tests that need no disk.

`tests/contract` holds these to what the real ones promise (`runtime.recall.agents`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from runtime.core.agents.items import AnyItem
from runtime.core.agents.ports import Numbered, RunQuery, Session, SessionItem
from runtime.core.agents.steps import TERMINAL, AnyStep, RunRecord
from runtime.core.errors import Conflict, Fault, NotFound
from runtime.core.ids import RunId, TenantId


@dataclass
class _Run:
    record: RunRecord
    steps: list[AnyStep]
    happenings: list[Numbered] = field(default_factory=list)


class FakeRunStore:
    """Runs, as `core.agents.ports.RunStore`."""

    def __init__(self) -> None:
        self.commits = 0
        """Writes that changed something."""
        self._runs: dict[RunId, _Run] = {}

    async def open(self, record: RunRecord, steps: Sequence[AnyStep]) -> None:
        if record.id in self._runs:
            raise _conflict(f"There is a run '{record.id}' already.")

        self._runs[record.id] = _Run(record, list(steps))
        self.commits += 1

    async def append(self, record: RunRecord, first: int, steps: Sequence[AnyStep]) -> None:
        run = self._owned(TenantId(record.tenant), record.id)
        if run.record.status in TERMINAL:
            raise _conflict(f"The run '{record.id}' has ended.")
        if first != len(run.steps):
            raise _conflict(f"The run '{record.id}' has {len(run.steps)} steps; {first} does not follow.")

        run.steps += steps
        run.record = record
        self.commits += 1

    async def find(self, tenant: TenantId, run: RunId) -> RunRecord:
        return self._owned(tenant, run).record

    async def steps(self, tenant: TenantId, run: RunId) -> list[AnyStep]:
        return list(self._owned(tenant, run).steps)

    async def list_runs(self, tenant: TenantId, query: RunQuery) -> list[RunRecord]:
        found = [each.record for each in self._runs.values() if each.record.tenant == tenant]
        found = [each for each in found if _is_wanted(each, query)]
        found.sort(key=lambda each: each.id, reverse=query.is_newest_first)
        return found[: query.limit]

    async def runs_naming(self, tenant: TenantId, item: str) -> list[RunId]:
        needle = b'"id":' + msgspec.json.encode(item)
        found = [each for each in self._runs.values() if each.record.tenant == tenant]
        return sorted(each.record.id for each in found if needle in msgspec.json.encode(each.steps))[:8]

    async def unfinished(self) -> list[RunRecord]:
        found = [each.record for each in self._runs.values() if each.record.status not in TERMINAL]
        return sorted(found, key=lambda each: each.id)

    async def remove(self, tenant: TenantId, run: RunId) -> None:
        if self._owned(tenant, run).record.status not in TERMINAL:
            raise _conflict(f"The run '{run}' has not ended yet. Cancel it first.")

        del self._runs[run]
        self.commits += 1

    async def note_happenings(self, run: RunId, happenings: Sequence[Numbered]) -> None:
        if run not in self._runs:
            raise _not_found(f"There is no run '{run}'.")

        kept = self._runs[run].happenings
        for each in happenings:
            if not kept or each.number > kept[-1].number:  # readers may have seen what is there
                kept.append(each)
        self.commits += 1

    async def happenings(self, run: RunId, first: int = 0) -> list[Numbered]:
        if run not in self._runs:
            return []
        return [each for each in self._runs[run].happenings if each.number >= first]

    async def forget_before(self, at: float) -> int:
        doomed: set[RunId] = set()
        for run in self._runs.values():
            is_root = run.record.parent is None or run.record.parent not in self._runs
            if is_root and _is_over_before(run.record, at):
                doomed.add(run.record.id)
        while (
            grown := {
                each.record.id
                for each in self._runs.values()
                if each.record.parent in doomed and each.record.status in TERMINAL
            }
            - doomed
        ):
            doomed |= grown
        for each in doomed:
            del self._runs[each]
        return len(doomed)

    def _owned(self, tenant: TenantId, run: RunId) -> _Run:
        found = self._runs.get(run)
        if found is None or found.record.tenant != tenant:
            raise _not_found(f"There is no run '{run}'.")
        return found


@dataclass
class _Conversation:
    session: Session
    items: list[SessionItem] = field(default_factory=list)
    next_place: int = 0


class FakeSessions:
    """Conversations, as `core.agents.ports.Sessions`."""

    def __init__(self) -> None:
        self._sessions: dict[str, _Conversation] = {}

    async def create(self, session: Session, items: Sequence[AnyItem] = ()) -> Session:
        if session.id in self._sessions:
            raise _conflict(f"There is a conversation '{session.id}' already.")

        made = _Conversation(msgspec.structs.replace(session, items=0))
        self._sessions[session.id] = made
        _append(made, items)
        return made.session

    async def find(self, tenant: TenantId, session: str) -> Session:
        return self._owned(tenant, session).session

    async def list_sessions(
        self, tenant: TenantId, *, agent: str | None = None, after: str | None = None, limit: int = 50
    ) -> list[Session]:
        found = [each.session for each in self._sessions.values() if each.session.tenant == tenant]
        found = [each for each in found if agent is None or each.agent == agent]
        found = [each for each in found if after is None or each.id < after]
        return sorted(found, key=lambda each: each.id, reverse=True)[:limit]

    async def change(self, tenant: TenantId, session: str, metadata: dict[str, str]) -> Session:
        found = self._owned(tenant, session)
        found.session = msgspec.structs.replace(found.session, metadata=dict(metadata))
        return found.session

    async def remove(self, tenant: TenantId, session: str) -> None:
        self._owned(tenant, session)
        del self._sessions[session]

    async def add(self, tenant: TenantId, session: str, items: Sequence[AnyItem]) -> list[SessionItem]:
        return _append(self._owned(tenant, session), items)

    async def items(
        self,
        tenant: TenantId,
        session: str,
        *,
        after: str | None = None,
        limit: int | None = None,
        is_newest_first: bool = False,
    ) -> list[SessionItem]:
        found = self._owned(tenant, session)
        items = found.items[::-1] if is_newest_first else list(found.items)
        if after is not None:
            items = items[items.index(_placed(found, after)) + 1 :]
        return items if limit is None else items[:limit]

    async def item(self, tenant: TenantId, session: str, item: str) -> AnyItem:
        return _placed(self._owned(tenant, session), item).item

    async def remove_item(self, tenant: TenantId, session: str, item: str) -> None:
        found = self._owned(tenant, session)
        found.items.remove(_placed(found, item))
        found.session = msgspec.structs.replace(found.session, items=len(found.items))

    def _owned(self, tenant: TenantId, session: str) -> _Conversation:
        found = self._sessions.get(session)
        if found is None or found.session.tenant != tenant:
            raise _not_found(f"There is no conversation '{session}'.")
        return found


class FakeRecords:
    """Small durable things, as `core.agents.ports.Records`."""

    def __init__(self) -> None:
        self._bodies: dict[tuple[str, str, TenantId], bytes] = {}

    async def put(
        self, tenant: TenantId, kind: str, key: str, body: bytes, *, only_new: bool = False
    ) -> None:
        if only_new and (kind, key, tenant) in self._bodies:
            raise _conflict(f"There is a {kind} '{key}' already.")

        self._bodies[kind, key, tenant] = bytes(body)

    async def get(self, tenant: TenantId, kind: str, key: str) -> bytes | None:
        return self._bodies.get((kind, key, tenant))

    async def list_records(
        self,
        tenant: TenantId | None,
        kind: str,
        *,
        after: str | None = None,
        limit: int = 100,
        is_newest_first: bool = False,
    ) -> list[tuple[TenantId, str, bytes]]:
        found = [
            (key, owner, body)
            for (of, key, owner), body in self._bodies.items()
            if of == kind and tenant in (None, owner)
        ]
        if after is not None:
            found = [each for each in found if (each[0] < after if is_newest_first else each[0] > after)]
        found.sort(reverse=is_newest_first)
        if 0 < limit < len(found):  # what shares the last key comes along: `after` could not tell it apart
            limit = sum(1 for each in found if each[0] in {kept[0] for kept in found[:limit]})
        return [(owner, key, body) for key, owner, body in found[:limit]]

    async def remove(self, tenant: TenantId, kind: str, key: str) -> bool:
        return self._bodies.pop((kind, key, tenant), None) is not None


def _is_wanted(record: RunRecord, query: RunQuery) -> bool:
    wanted = ((query.agent, record.agent), (query.session, record.session), (query.parent, record.parent))
    if any(asked is not None and asked != has for asked, has in wanted):
        return False

    if query.statuses and record.status not in query.statuses:
        return False

    if query.after is not None:
        is_beyond = record.id < query.after if query.is_newest_first else record.id > query.after
        if not is_beyond:
            return False

    return query.labels.items() <= record.labels.items()


def _is_over_before(record: RunRecord, at: float) -> bool:
    ended_at = record.created_at if record.ended_at is None else record.ended_at
    return record.status in TERMINAL and ended_at < at


def _append(conversation: _Conversation, items: Sequence[AnyItem]) -> list[SessionItem]:
    known = {each.item.id: each for each in conversation.items}
    told: dict[str, SessionItem] = {}
    for item in items:
        if item.id not in known:
            known[item.id] = SessionItem(conversation.next_place, item)
            conversation.items.append(known[item.id])
            conversation.next_place += 1
        told[item.id] = known[item.id]
    conversation.session = msgspec.structs.replace(conversation.session, items=len(conversation.items))
    return list(told.values())


def _placed(conversation: _Conversation, item: str) -> SessionItem:
    for each in conversation.items:
        if each.item.id == item:
            return each
    raise _not_found(f"There is no item '{item}' in the conversation '{conversation.session.id}'.")


def _conflict(message: str) -> Conflict:
    return Conflict(Fault(code="conflict", message=message))


def _not_found(message: str) -> NotFound:
    return NotFound(Fault(code="not_found", message=message))
