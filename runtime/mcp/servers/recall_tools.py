"""What each tool of recall does for one principal. Raises LarError kinds, whose messages a model can read."""

from contextlib import suppress
from typing import Any

import msgspec

from runtime.core.errors import Fault, NotFound, RequestInvalid
from runtime.core.filters import MAX_COMPARISONS, MAX_DEPTH, Comparison, Compound, Filter
from runtime.core.ids import CollectionId, DocumentId, ItemId, TenantId
from runtime.core.knowledge import NOTHING_TO_SEARCH, Collection, Document, Hit, Job, NewDocument, Query
from runtime.core.memories import Item, ItemChange, ItemQuery, NewItem, Provenance, Scope
from runtime.core.tools import Progressed
from runtime.mcp.servers.reach import RecallReach
from runtime.mcp.servers.recall_words import (
    ForgetGiven,
    ForgetResult,
    IngestGiven,
    IngestResult,
    Line,
    ListGiven,
    ListResult,
    MemoryFound,
    Passage,
    ReadGiven,
    ReadResult,
    RememberGiven,
    RememberResult,
    ReviseGiven,
    ScopeGiven,
    SearchGiven,
    SearchResult,
)

_LOOK_S = 1.0
_LOOKS_LIMIT = 600
"""Ten minutes for one document; it goes on behind the scenes after that."""


class RecallTools:
    """The tools, for one tenant. `by` is written beside what is remembered."""

    def __init__(self, recall: RecallReach, tenant: TenantId, by: str | None) -> None:
        self._recall = recall
        self._tenant = tenant
        self._by = by

    async def search(self, given: SearchGiven, _report: Progressed) -> SearchResult:
        """Find passages of documents, and memories."""
        collections = [await find_collection(self._recall, self._tenant, each) for each in given.where]
        everything = collections or await self._recall.collections.list_all(self._tenant)
        query = Query(
            text=given.query,
            collections=tuple(each.id for each in everything),
            limit=given.limit,
            where=None if given.filter is None else _filter(given.filter),
            tags=tuple(given.tags),
        )
        hits: tuple[Hit, ...] = ()
        notes: tuple[str, ...] = (NOTHING_TO_SEARCH,)
        if everything:
            found = await self._recall.searcher.search(self._tenant, query)
            hits, notes = found.hits, found.notes
        items = []
        if given.include_memory and not given.where:
            scope = None if given.scope is None else _scope(given.scope)
            items = await self._recall.memories.search(self._tenant, query, scope)
        return SearchResult(
            passages=[_passage(each) for each in hits],
            memories=[_memory(each.item, each.score) for each in items],
            notes=list(notes),
        )

    async def read(self, given: ReadGiven, _report: Progressed) -> ReadResult:
        """Return a part of a document's text, or a memory."""
        if given.id.startswith("item_"):
            item = await self._recall.memories.find(self._tenant, ItemId(given.id))
            name, text = str(item.kind), item.text
        else:
            document = await self._recall.documents.find(self._tenant, DocumentId(given.id))
            name, text = document.name, await self._recall.documents.text(self._tenant, document.id)
        part = text[given.start : given.start + given.limit]
        end = given.start + len(part)
        return ReadResult(
            id=given.id, name=name, text=part, start=given.start, total=len(text), is_more=end < len(text)
        )

    async def remember(self, given: RememberGiven, _report: Progressed) -> RememberResult:
        """Store a memory, or find that it is known."""
        new = NewItem(
            text=given.text,
            kind=given.kind,
            scope=_scope(given.scope),
            provenance=Provenance(by=self._by),
            importance=given.importance,
            tags=tuple(given.tags),
            supersedes=tuple(ItemId(each) for each in given.supersedes),
            expires_at=given.expires_at,
        )
        done = await self._recall.memories.remember(self._tenant, new)
        return RememberResult(
            id=done.item.id, outcome=done.outcome, text=done.item.text, near=[str(each) for each in done.near]
        )

    async def revise(self, given: ReviseGiven, _report: Progressed) -> RememberResult:
        """Change a memory; a new text makes a successor."""
        told = {name: value for name, value in msgspec.structs.asdict(given).items() if value is not None}
        item = ItemId(told.pop("id"))
        if not told:
            message = "Nothing is to be changed. Say text, importance, confidence, tags or is_pinned."
            raise RequestInvalid(Fault(code="invalid_request", message=message))

        change = msgspec.convert(told, ItemChange)
        revised = await self._recall.memories.revise(self._tenant, item, change, self._by)
        outcome = "revised" if revised.id == item else "succeeded"
        return RememberResult(id=revised.id, outcome=outcome, text=revised.text)

    async def forget(self, given: ForgetGiven, _report: Progressed) -> ForgetResult:
        """Remove memories and documents, none where one of them is not there."""
        items = [ItemId(each) for each in given.ids if each.startswith("item_")]
        others = [DocumentId(each) for each in given.ids if not each.startswith("item_")]
        for document in others:
            await self._recall.documents.find(self._tenant, document)
        depended: tuple[ItemId, ...] = ()
        if items:
            depended = (await self._recall.memories.forget(self._tenant, items)).depended
        for document in others:
            await self._recall.documents.remove(self._tenant, document)
        return ForgetResult(forgotten=list(given.ids), depended=[str(each) for each in depended])

    async def ingest(self, given: IngestGiven, report: Progressed) -> IngestResult:
        """Take a text in and wait until it can be found by words and meaning."""
        collection = await find_collection(self._recall, self._tenant, given.collection)
        new = NewDocument(
            name=given.name,
            text=given.text,
            uri=given.uri,
            tags=tuple(given.tags),
            attributes=given.attributes,
        )
        job, (document,) = await self._recall.documents.add(self._tenant, collection.id, [new])
        await report(0, 1, "stored")
        job = await self._wait(job, report)
        read = await self._recall.documents.find(self._tenant, document.id)
        if read.fault is not None:
            raise RequestInvalid(Fault(code="invalid_request", message=read.fault.message))
        return IngestResult(document=read.id, status=read.status, chunks=read.chunks, job=job.id)

    async def list(self, given: ListGiven, _report: Progressed) -> ListResult:
        """List collections, memories, or the documents of a collection."""
        if given.of == "collections":
            return _collections(await self._recall.collections.list_all(self._tenant), given)

        if given.of == "memories":
            after = None if given.cursor is None else ItemId(given.cursor)
            query = ItemQuery(limit=given.limit + 1, after=after)
            items = await self._recall.memories.list_all(self._tenant, query)
            lines = [Line(id=each.id, name=each.kind, detail=each.text) for each in items]
        else:
            collection = await find_collection(self._recall, self._tenant, given.of)
            documents = await self._recall.documents.list_all(
                self._tenant,
                collection.id,
                limit=given.limit + 1,
                after=None if given.cursor is None else DocumentId(given.cursor),
            )
            lines = [_document_line(each) for each in documents]
        shown = lines[: given.limit]
        return ListResult(lines=shown, next_cursor=shown[-1].id if len(lines) > given.limit else None)

    async def _wait(self, job: Job, report: Progressed) -> Job:
        for _ in range(_LOOKS_LIMIT):
            if job.status not in ("queued", "running"):
                break
            job = await self._recall.jobs.wait(self._tenant, job.id, _LOOK_S)
            await report(job.done + job.failed, job.total or None, job.note or job.current or job.status)
        return job


async def find_collection(recall: RecallReach, tenant: TenantId, name: str) -> Collection:
    """Return the collection of this id or name. Raises NotFound that names those there are."""
    found = await recall.collections.find_by_name(tenant, name)
    if found is not None:
        return found
    with suppress(NotFound):
        return await recall.collections.find(tenant, CollectionId(name))

    known = await recall.collections.list_all(tenant)
    names = ", ".join(f"'{each.name}'" for each in known[:20]) or "none yet"
    message = f"There is no collection '{name[:80]}'. There are: {names}."
    raise NotFound(Fault(code="not_found", message=message))


def _collections(known: list[Collection], given: ListGiven) -> ListResult:
    ids = [str(each.id) for each in known]
    first = ids.index(given.cursor) + 1 if given.cursor in ids else 0
    shown = known[first : first + given.limit]
    lines = [
        Line(
            id=each.id,
            name=each.name,
            detail=f"{each.counts.total} documents. {each.description}".strip(),
        )
        for each in shown
    ]
    is_more = first + given.limit < len(known)
    return ListResult(lines=lines, next_cursor=lines[-1].id if is_more else None)


def _document_line(document: Document) -> Line:
    words = [document.title, document.status, document.uri or ""]
    return Line(id=document.id, name=document.name, detail=" · ".join(each for each in words if each))


def _passage(hit: Hit) -> Passage:
    document = hit.document
    return Passage(
        document=document.id,
        name=document.name,
        title=document.title,
        heading=list(hit.chunk.heading),
        text=hit.chunk.text,
        score=round(hit.score, 4),
        start=hit.chunk.start,
        end=hit.chunk.end,
        uri=document.uri,
        resource=f"recall://collection/{document.collection}/document/{document.id}",
    )


def _memory(item: Item, score: float | None) -> MemoryFound:
    return MemoryFound(
        id=item.id,
        kind=item.kind,
        text=item.text,
        created_at=item.created_at,
        score=None if score is None else round(score, 4),
        is_current=item.ended_at is None,
        superseded_by=item.superseded_by,
        tags=list(item.tags),
    )


def _scope(given: ScopeGiven) -> Scope:
    return Scope(user=given.user, agent=given.agent, session=given.session)


def _filter(given: dict[str, Any]) -> Filter:
    """Return the filter that free JSON stands for. Raises RequestInvalid."""
    left = [MAX_COMPARISONS]

    def read(part: Any, depth: int) -> Filter:
        left[0] -= 1
        if depth > MAX_DEPTH or left[0] < 0:
            raise _no_filter(
                f"it nests deeper than {MAX_DEPTH} or compares more than {MAX_COMPARISONS} times"
            )
        try:
            if isinstance(part, dict) and part.get("type") in ("and", "or", "not"):
                parts = part.get("filters")
                if not isinstance(parts, list) or not parts or (part["type"] == "not" and len(parts) != 1):
                    raise _no_filter(
                        "'filters' must be a list of one at least, of exactly one for 'not'; to search "
                        "everything leave 'filter' out"
                    )
                return Compound(type=part["type"], filters=tuple(read(each, depth + 1) for each in parts))
            return msgspec.convert(part, Comparison)
        except msgspec.ValidationError as problem:
            raise _no_filter(str(problem)) from problem

    return read(given, 1)


def _no_filter(why: str) -> RequestInvalid:
    message = f'\'filter\' is wrong: {why}. An example: {{"type": "gte", "key": "year", "value": 2025}}.'
    return RequestInvalid(Fault(code="invalid_request", message=message, param="filter"))
