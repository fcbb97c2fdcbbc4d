"""Remembering and revising: what is known, what is near, links, scopes, two clocks, counts of use."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import msgspec
import pytest

from runtime.core.errors import Conflict, Fault, ModelUnavailable, NotFound, RequestInvalid
from runtime.core.ids import ItemId, RunId
from runtime.core.memories import Item, ItemChange, ItemQuery, Link, NewItem, Provenance, Scope
from tests.kit.memory_stage import ADA, BOB, QUERY, MemoryStage, ids_of, open_memory_stage

NOBODY = ItemId("item_nobody")


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[MemoryStage]:
    async with open_memory_stage(tmp_path) as opened:
        yield opened


async def actions(stage: MemoryStage, item: Item) -> list[str]:
    return [each.action for each in await stage.memories.history(ADA, item.id)]


async def test_an_item_comes_back_as_it_was_told_and_is_found_at_once(stage: MemoryStage) -> None:
    told = NewItem(
        text="Ada drinks green tea",
        kind="preference",
        scope=Scope(user="ada", session="s1"),
        provenance=Provenance(run=RunId("run_1"), message="m", start=1, end=5, by="agent"),
        expires_at=stage.clock.now() + 60,
        importance=0.9,
        confidence=0.4,
        tags=("drinks", "tea", "drinks"),
        attributes={"cups": 3, "hot": True},
    )

    remembered = await stage.memories.remember(ADA, told)

    item = remembered.item
    assert remembered.outcome == "stored"
    assert (item.text, item.kind, item.scope, item.provenance) == (
        told.text,
        told.kind,
        told.scope,
        told.provenance,
    )
    assert (item.importance, item.confidence, item.expires_at) == (0.9, 0.4, told.expires_at)
    assert item.tags == ("drinks", "tea")
    assert item.attributes == {"cups": 3, "hot": True}
    assert await stage.memories.find(ADA, item.id) == item
    assert await stage.search("green", scope=told.scope) == [told.text]


async def test_the_same_text_is_known_and_gains_what_is_told_with_it(stage: MemoryStage) -> None:
    first = await stage.remember("Ada drinks tea", tags=("a",), expires_at=stage.clock.now() + 9)
    stage.clock.advance(1)

    again = await stage.memories.remember(
        ADA, NewItem(text=" Ada  drinks tea", tags=("b", "a"), importance=0.8, is_pinned=True)
    )

    assert again.outcome == "known"
    assert again.item.id == first.id
    assert again.item.tags == ("a", "b")
    assert (again.item.uses, again.item.last_used_at) == (1, stage.clock.now())
    assert (again.item.importance, again.item.is_pinned, again.item.expires_at) == (0.8, True, None)
    assert await actions(stage, first) == ["stored", "known"]
    assert len(await stage.memories.list_all(ADA, ItemQuery())) == 1


@pytest.mark.parametrize("other", [{"kind": "episode"}, {"scope": Scope(user="bob")}, {"valid_from": 5.0}])
async def test_the_same_text_of_another_kind_scope_or_time_is_another_item(
    stage: MemoryStage, other: dict[str, object]
) -> None:
    await stage.remember("Ada lives in Porto", valid_from=1.0, valid_to=2.0)

    again = await stage.memories.remember(ADA, NewItem(text="Ada lives in Porto", **other))  # type: ignore[arg-type]  # fields of an item

    assert again.outcome != "known"


async def test_what_has_ended_or_expired_is_not_known_any_more(stage: MemoryStage) -> None:
    first = await stage.remember("Ada is away", expires_at=stage.clock.now() + 10)
    stage.clock.advance(10)
    second = await stage.remember("Ada is away")
    third = await stage.remember("Ada is away", supersedes=(second.id,))

    assert len({first.id, second.id, third.id}) == 3


async def test_what_says_much_the_same_is_stored_and_told_to_be_near(stage: MemoryStage) -> None:
    first = await stage.remember("The user prefers dark roast coffee in the morning")
    await stage.remember("Invoices are due on the first of the month")

    again = await stage.memories.remember(
        ADA, NewItem(text="The user prefers dark roast coffee in the early morning")
    )

    assert (again.outcome, again.near) == ("similar", (first.id,))


async def test_near_vectors_tell_of_a_rewording_that_shares_no_pairs_of_words(stage: MemoryStage) -> None:
    await stage.learn()
    first = await stage.remember("coffee dark morning roast user prefers")
    assert not stage.healed

    again = await stage.memories.remember(ADA, NewItem(text="prefers user roast morning dark coffee"))

    assert again.near == (first.id,)
    rows = await stage.truth.read("SELECT count(*) FROM vector")
    assert rows == [(2,)]


async def test_an_item_is_stored_where_the_model_fails_or_hangs(
    stage: MemoryStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = await stage.learn()
    monkeypatch.setattr("runtime.recall.memory.preparing.EMBED_LIMIT_S", 0.01)
    monkeypatch.setattr("runtime.recall.search_models.EMBED_LIMIT_S", 0.01)

    async def _fail(texts: object) -> None:
        raise ModelUnavailable(Fault(code="model_broken", message="broken"))

    stage.embedder.before = _fail
    await stage.remember("one thing")
    stage.embedder.before = lambda texts: anyio.sleep_forever()
    with anyio.fail_after(5):
        await stage.remember("another matter")
    asked = len(stage.embedder.batches)
    await stage.remember("a third one")

    assert len(stage.embedder.batches) == asked  # it rests after a hang
    assert stage.healed == [home.ns] * 3
    assert await stage.search("matter") == ["another matter"]


async def test_superseding_ends_the_old_item_which_stays_in_history_and_in_the_past(
    stage: MemoryStage,
) -> None:
    old = await stage.remember("Ada lives in Lisbon")
    before = stage.clock.now()
    stage.clock.advance(10)
    new = await stage.remember("Ada lives in Porto", supersedes=(old.id,))

    ended = await stage.memories.find(ADA, old.id)
    assert (ended.ended_at, ended.superseded_by) == (stage.clock.now(), new.id)
    assert new.links == (Link(kind="supersedes", to=old.id),)
    assert await stage.search("lives") == ["Ada lives in Porto"]
    assert await stage.search("lives", known_at=before) == ["Ada lives in Lisbon"]
    entries = await stage.memories.history(ADA, new.id)
    assert [(each.action, each.item.id) for each in entries] == [
        ("stored", old.id),
        ("superseded", old.id),
        ("stored", new.id),
    ]


async def test_what_was_superseded_cannot_be_superseded_or_revised_again(stage: MemoryStage) -> None:
    old = await stage.remember("one")
    new = await stage.remember("two", supersedes=(old.id,))

    with pytest.raises(Conflict, match=new.id) as refused:
        await stage.remember("three", supersedes=(old.id,))
    assert refused.value.fault.param == "supersedes[0]"
    with pytest.raises(Conflict, match=new.id):
        await stage.memories.revise(ADA, old.id, ItemChange(text="three"))
    with pytest.raises(Conflict, match=new.id):
        await stage.memories.revise(ADA, old.id, ItemChange(importance=0.1))
    assert await stage.search("three") == []


async def test_a_contradiction_links_both_ways_and_both_stay(stage: MemoryStage) -> None:
    one = await stage.remember("The shop is open on Sunday")
    other = await stage.remember("The shop is closed on Sunday", contradicts=(one.id,))

    assert other.links == (Link(kind="contradicts", to=one.id),)
    found = await stage.memories.find(ADA, one.id)
    assert found.links == (Link(kind="contradicts", to=other.id),)
    assert found.ended_at is None
    assert await actions(stage, one) == ["stored", "contradicted"]


@pytest.mark.parametrize("field", ["supersedes", "contradicts", "derived_from"])
async def test_a_link_to_nothing_is_refused_by_its_field_and_stores_nothing(
    stage: MemoryStage, field: str
) -> None:
    known = await stage.remember("known")
    theirs = await stage.remember("theirs", BOB)

    for unknown in (NOBODY, theirs.id):
        with pytest.raises(NotFound) as refused:
            await stage.remember("new", ADA, **{field: (known.id, unknown)})
        assert refused.value.fault.param == f"{field}[1]"
    assert ids_of(await stage.memories.list_all(ADA, ItemQuery())) == [known.id]
    assert (await stage.memories.find(ADA, known.id)).ended_at is None


async def test_an_item_cannot_be_derived_from_what_is_derived_from_it(stage: MemoryStage) -> None:
    first = await stage.remember("first")
    second = await stage.remember("second", derived_from=(first.id,))
    third = await stage.remember("third", derived_from=(second.id,))

    with pytest.raises(Conflict, match="derived"):
        await stage.remember("first", derived_from=(third.id,))
    with pytest.raises(RequestInvalid):
        await stage.memories.revise(ADA, first.id, ItemChange(contradicts=(first.id,)))


@pytest.mark.parametrize(
    ("told", "param"),
    [
        (NewItem(text="  "), "text"),
        (NewItem(text="a" * 20_001), "text"),
        (NewItem(text="half \ud800"), "text"),
        (NewItem(text="a", importance=2.0), "importance"),
        (NewItem(text="a", confidence=float("nan")), "confidence"),
        (NewItem(text="a", attributes={"kind": "x"}), "attributes.kind"),
        (NewItem(text="a", attributes={"n": 2**70}), "attributes.n"),
        (NewItem(text="a", tags=("",)), "tags"),
        (NewItem(text="a", valid_from=2.0, valid_to=1.0), "valid_to"),
    ],
)
async def test_what_could_not_be_kept_is_refused_by_its_field(
    stage: MemoryStage, told: NewItem, param: str
) -> None:
    with pytest.raises(RequestInvalid) as refused:
        await stage.memories.remember(ADA, told)

    assert refused.value.fault.param == param
    assert await stage.memories.list_all(ADA, ItemQuery()) == []


async def test_a_changed_text_makes_a_successor_that_keeps_the_rest(stage: MemoryStage) -> None:
    source = await stage.remember("a talk")
    old = await stage.remember(
        "Ada lives in Lisbo", kind="fact", scope=Scope(user="ada"), tags=("home",), derived_from=(source.id,)
    )
    stage.clock.advance(5)

    new = await stage.memories.revise(ADA, old.id, ItemChange(text="Ada lives in Lisbon"), by="bob")

    assert new.id != old.id
    assert (new.text, new.scope, new.tags, new.created_at) == (
        "Ada lives in Lisbon",
        old.scope,
        old.tags,
        stage.clock.now(),
    )
    assert new.provenance.by == "bob"
    assert set(new.links) == {Link(kind="supersedes", to=old.id), Link(kind="derived_from", to=source.id)}
    assert (await stage.memories.find(ADA, old.id)).superseded_by == new.id
    assert await actions(stage, new) == ["stored", "superseded", "revised"]


async def test_other_changes_are_in_place_and_noted(stage: MemoryStage) -> None:
    item = await stage.remember("Ada is in Rome", valid_from=1.0, tags=("a",))
    now = stage.clock.now()

    changed = await stage.memories.revise(
        ADA, item.id, ItemChange(valid_to=now, tags=("b",), attributes={"x": 1}), by="bob"
    )

    assert (changed.id, changed.valid_to, changed.tags) == (item.id, now, ("b",))
    assert await stage.search("Rome") == []
    assert await stage.search("Rome", valid_at=now - 1) == ["Ada is in Rome"]
    last = (await stage.memories.history(ADA, item.id))[-1]
    assert (last.action, last.by, last.item) == ("revised", "bob", changed)
    assert await stage.memories.revise(ADA, item.id, ItemChange(tags=("b",))) == changed
    assert await actions(stage, item) == ["stored", "revised"]


async def test_expired_items_are_neither_found_nor_listed_unless_they_are_pinned(stage: MemoryStage) -> None:
    later = stage.clock.now() + 10
    gone = await stage.remember("gone soon", expires_at=later)
    kept = await stage.remember("kept soon", expires_at=later, is_pinned=True)
    stage.clock.advance(10)

    assert await stage.search("soon") == ["kept soon"]
    assert ids_of(await stage.memories.list_all(ADA, ItemQuery())) == [kept.id]
    everything = await stage.memories.list_all(ADA, ItemQuery(is_ended_wanted=True))
    assert ids_of(everything) == sorted([gone.id, kept.id], reverse=True)
    await stage.memories.revise(ADA, kept.id, ItemChange(is_pinned=False))
    assert await stage.search("soon") == []


async def test_a_scope_sees_its_own_items_and_those_of_everybody(stage: MemoryStage) -> None:
    scopes = [Scope(), Scope(user="u"), Scope(agent="a"), Scope(user="u", agent="a"), Scope(user="v")]
    scopes.append(Scope(user="u", session="s"))
    for place, scope in enumerate(scopes):
        await stage.remember(f"note {place}", scope=scope)

    async def seen(scope: Scope | None) -> set[str]:
        listed = {each.text for each in await stage.memories.list_all(ADA, ItemQuery(scope=scope))}
        assert set(await stage.search("note", scope=scope)) == listed
        return {text[-1] for text in listed}

    assert await seen(Scope(user="u", agent="a")) == {"0", "1", "2", "3"}
    assert await seen(Scope(user="v")) == {"0", "4"}
    assert await seen(Scope()) == {"0"}
    assert await seen(Scope(user="u", agent="a", session="s")) == {"0", "1", "2", "3", "5"}
    assert await seen(None) == {"0", "1", "2", "3", "4", "5"}


async def test_lists_are_narrowed_by_kind_and_tags_and_go_on_after_an_item(stage: MemoryStage) -> None:
    for number in range(5):
        stage.clock.advance(1)
        kind = "episode" if number % 2 else "fact"
        await stage.remember(f"note {number}", kind=kind, tags=("all", f"t{number}"))

    async def texts(**told: object) -> list[str]:
        query = ItemQuery(**told)  # type: ignore[arg-type]  # fields of a query
        return [each.text[-1] for each in await stage.memories.list_all(ADA, query)]

    assert await texts(kinds=("episode",)) == ["3", "1"]
    assert await texts(tags=("all", "t2")) == ["2"]
    page = await stage.memories.list_all(ADA, ItemQuery(limit=2))
    assert [each.text[-1] for each in page] == ["4", "3"]
    assert await texts(limit=2, after=page[-1].id) == ["2", "1"]
    with pytest.raises(NotFound):
        await texts(after=NOBODY)


async def test_uses_are_counted_without_a_commit_for_each_search(stage: MemoryStage) -> None:
    item = await stage.remember("Ada drinks tea")
    stage.clock.advance(5)

    for _ in range(3):
        await stage.search("tea")

    assert (await stage.memories.find(ADA, item.id)).uses == 0
    await stage.memories.aclose()
    found = await stage.memories.find(ADA, item.id)
    assert (found.uses, found.last_used_at) == (3, stage.clock.now())
    await stage.memories.aclose()
    assert (await stage.memories.find(ADA, item.id)).uses == 3


async def test_scores_of_both_arms_come_with_what_is_found(stage: MemoryStage) -> None:
    await stage.learn()
    await stage.remember("Ada drinks tea")

    (found,) = await stage.memories.search(ADA, msgspec.structs.replace(QUERY, text="tea"), None)

    assert found.text_score is not None
    assert found.text_score > 0
    assert found.vector_score is not None


async def test_a_filter_can_ask_for_the_kind(stage: MemoryStage) -> None:
    item = await stage.remember("Ada drinks tea", kind="preference", attributes={"a": 1})

    rows = await stage.truth.read("SELECT attributes FROM document WHERE id = $1", [item.id])

    assert rows == [('{"a":1,"kind":"preference"}',)]
    assert item.attributes == {"a": 1}


async def test_a_tenant_without_a_memory_has_nothing(stage: MemoryStage) -> None:
    item = await stage.remember("mine")

    assert await stage.memories.list_all(BOB, ItemQuery()) == []
    assert await stage.search("mine", BOB) == []
    assert await stage.lines(BOB) == []
    for call in (stage.memories.find, stage.memories.history):
        with pytest.raises(NotFound):
            await call(BOB, item.id)
    with pytest.raises(NotFound):
        await stage.memories.revise(BOB, item.id, ItemChange(importance=0.1))
    with pytest.raises(NotFound):
        await stage.memories.forget(BOB, [item.id])
