"""Whatever is done in whatever order: the memory says what a list of items would say, for each tenant."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import anyio
import hypothesis.strategies as st
import msgspec
from hypothesis import HealthCheck, given, settings

from runtime.core.errors import Conflict, NotFound
from runtime.core.ids import ItemId, TenantId
from runtime.core.memories import Item, ItemChange, ItemQuery, NewItem, Scope
from tests.kit.memory_stage import ADA, BOB, QUERY, MemoryStage, open_memory_stage

TEXTS = ("alpha one", "alpha two", "beta one")
SCOPES = (Scope(), Scope(user="u"), Scope(user="v"), Scope(user="u", agent="a"))


class Remember(NamedTuple):
    tenant: TenantId
    text: str
    scope: Scope
    kind: Literal["fact", "episode"]
    lasts_s: float | None
    is_pinned: bool
    supersedes: int | None


class Reword(NamedTuple):
    tenant: TenantId
    item: int
    text: str


class Pin(NamedTuple):
    tenant: TenantId
    item: int
    is_pinned: bool


class Forget(NamedTuple):
    tenant: TenantId
    item: int


class Tick(NamedTuple):
    seconds: float


class Look(NamedTuple):
    tenant: TenantId
    word: str
    scope: Scope | None
    ago_s: float | None


tenants = st.sampled_from([ADA, BOB])
places = st.integers(0, 6)
texts = st.sampled_from(TEXTS)
Step = Remember | Reword | Pin | Forget | Tick | Look

steps = st.one_of(
    st.builds(
        Remember,
        tenants,
        texts,
        st.sampled_from(SCOPES),
        st.sampled_from(["fact", "episode"]),
        st.sampled_from([None, 3.0, 30.0]),
        st.booleans(),
        st.none() | places,
    ),
    st.builds(Reword, tenants, places, texts),
    st.builds(Pin, tenants, places, st.booleans()),
    st.builds(Forget, tenants, places),
    st.builds(Tick, st.sampled_from([1.0, 5.0])),
    st.builds(
        Look,
        tenants,
        st.sampled_from(["alpha", "one"]),
        st.none() | st.sampled_from(SCOPES),
        st.sampled_from([None, 1.0, 6.0]),
    ),
)


@dataclass(slots=True)
class Entry:
    """What the model knows of an item."""

    id: ItemId
    text: str
    scope: Scope
    kind: str
    created_at: float
    expires_at: float | None
    is_pinned: bool
    ended_at: float | None = None
    superseded_by: ItemId | None = None
    is_former: bool = False

    def is_expired(self, now: float) -> bool:
        return not self.is_pinned and self.expires_at is not None and self.expires_at <= now

    def is_live(self, now: float) -> bool:
        return self.ended_at is None and not self.is_expired(now)

    def is_seen_by(self, scope: Scope | None) -> bool:
        pairs = zip(
            msgspec.structs.astuple(self.scope), msgspec.structs.astuple(scope or Scope()), strict=True
        )
        return scope is None or all(part in (None, its) for part, its in pairs)


@dataclass(slots=True)
class Model:
    """A list of items for each tenant."""

    stage: MemoryStage
    of: dict[TenantId, list[Entry]] = field(default_factory=lambda: {ADA: [], BOB: []})

    @property
    def now(self) -> float:
        return self.stage.clock.now()

    async def do(self, step: Step) -> None:
        match step:
            case Remember():
                await self.remember(step)
            case Reword() | Pin() | Forget():
                await self.touch(step)
            case Tick():
                self.stage.clock.advance(step.seconds)
            case Look():
                await self.look(step)
        await self.compare(BOB if isinstance(step, Tick) else step.tenant)

    async def remember(self, step: Remember) -> None:
        mine = self.of[step.tenant]
        older = mine[step.supersedes] if step.supersedes is not None and step.supersedes < len(mine) else None
        expires_at = None if step.lasts_s is None else self.now + step.lasts_s
        told = NewItem(
            text=step.text,
            scope=step.scope,
            kind=step.kind,
            expires_at=expires_at,
            is_pinned=step.is_pinned,
            supersedes=() if older is None else (older.id,),
        )
        if older is not None and older.superseded_by is not None:
            try:
                await self.stage.memories.remember(step.tenant, told)
            except Conflict:
                return
            raise AssertionError("it was superseded twice")

        remembered = await self.stage.memories.remember(step.tenant, told)
        alike = (step.text, step.scope, step.kind)
        twins = [
            each
            for each in mine
            if (each.text, each.scope, each.kind) == alike and each.is_live(self.now) and each is not older
        ]
        item = remembered.item
        if twins:
            twin = min(twins, key=lambda each: (each.created_at, each.id))
            assert (remembered.outcome, item.id) == ("known", twin.id)
            is_for_good = twin.expires_at is None or expires_at is None
            twin.expires_at = None if is_for_good else max(twin.expires_at or 0, expires_at or 0)
            twin.is_pinned = twin.is_pinned or step.is_pinned
        else:
            assert remembered.outcome != "known"
            mine.append(Entry(item.id, *alike, self.now, expires_at, step.is_pinned))
        if older is not None:
            older.superseded_by = item.id
            older.ended_at = self.now

    async def touch(self, step: Reword | Pin | Forget) -> None:
        mine = self.of[step.tenant]
        if step.item >= len(mine):
            return

        entry = mine[step.item]
        stranger = BOB if step.tenant == ADA else ADA
        try:
            await self.stage.memories.find(stranger, entry.id)
        except NotFound:
            pass
        else:
            raise AssertionError("another tenant sees it")

        match step:
            case Forget():
                await self.forget(step.tenant, entry)
            case Pin():
                await self.change(step.tenant, entry, ItemChange(is_pinned=step.is_pinned))
            case Reword():
                await self.change(step.tenant, entry, ItemChange(text=step.text))

    async def change(self, tenant: TenantId, entry: Entry, change: ItemChange) -> None:
        is_reworded = isinstance(change.text, str) and change.text != entry.text
        is_refused = entry.ended_at is not None or (is_reworded and entry.is_expired(self.now))
        try:
            item = await self.stage.memories.revise(tenant, entry.id, change)
        except Conflict:
            assert is_refused
            return

        assert not is_refused
        if is_reworded:
            mine = Entry(
                item.id, item.text, entry.scope, entry.kind, self.now, entry.expires_at, entry.is_pinned
            )
            self.of[tenant].append(mine)
            entry.ended_at, entry.superseded_by, entry.is_former = self.now, item.id, True
        elif isinstance(change.is_pinned, bool):
            entry.is_pinned = change.is_pinned

    async def forget(self, tenant: TenantId, entry: Entry) -> None:
        mine = self.of[tenant]
        gone = {entry.id}
        while more := {each.id for each in mine if each.is_former and each.superseded_by in gone} - gone:
            gone |= more
        forgotten = await self.stage.memories.forget(tenant, [entry.id])
        assert set(forgotten.items) == gone
        after = {each.superseded_by for each in mine if each.id in gone} - gone - {None}
        assert set(forgotten.depended) == after
        self.of[tenant] = [each for each in mine if each.id not in gone]
        for each in self.of[tenant]:
            if each.superseded_by in gone:
                each.superseded_by = None

    async def look(self, step: Look) -> None:
        known = self.now if step.ago_s is None else self.now - step.ago_s
        asked = msgspec.structs.replace(
            QUERY,
            text=step.word,
            arm="text",
            is_deduplicated=False,
            known_at=None if step.ago_s is None else known,
        )
        found = await self.stage.memories.search(step.tenant, asked, step.scope)
        expected = {
            each.id
            for each in self.of[step.tenant]
            if step.word in each.text.split()
            and each.is_seen_by(step.scope)
            and not each.is_expired(self.now)
            and each.created_at <= known
            and (each.ended_at is None or each.ended_at > known)
        }
        assert {each.item.id for each in found} == expected

    async def compare(self, tenant: TenantId) -> None:
        memories = self.stage.memories
        listed = await memories.list_all(tenant, ItemQuery(is_ended_wanted=True))
        assert {each.id: _told(each) for each in listed} == {
            each.id: (
                each.text,
                each.scope,
                each.ended_at,
                each.superseded_by,
                each.expires_at,
                each.is_pinned,
            )
            for each in self.of[tenant]
        }
        live = await memories.list_all(tenant, ItemQuery())
        assert {each.id for each in live} == {each.id for each in self.of[tenant] if each.is_live(self.now)}


def _told(item: Item) -> tuple[Any, ...]:
    return (item.text, item.scope, item.ended_at, item.superseded_by, item.expires_at, item.is_pinned)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps, min_size=5, max_size=14))
def test_the_memory_says_what_a_list_of_items_would_say(script: list[Step]) -> None:
    async def _play() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with open_memory_stage(Path(folder)) as stage:
                model = Model(stage)
                for step in script:
                    await model.do(step)
                for tenant in (ADA, BOB):
                    await model.compare(tenant)
                    for entry in model.of[tenant]:
                        assert await stage.memories.history(tenant, entry.id)

    anyio.run(_play)
