"""All of Recall in memory, for tests of the faces; keeps tenants apart, finds by common words.

A document whose bytes begin with `broken` fails; while `hold` is set, what is added stays in progress.
"""

import hashlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import msgspec

from runtime.core.errors import Conflict, Fault, NotFound, RequestInvalid
from runtime.core.filters import Attributes, Comparison, Compound, Filter
from runtime.core.ids import (
    ChunkId,
    CollectionId,
    DocumentId,
    FileId,
    ItemId,
    JobId,
    ModelId,
    SourceId,
    TenantId,
)
from runtime.core.knowledge import (
    Chunking,
    Collection,
    CollectionChange,
    Document,
    DocumentCounts,
    DocumentFault,
    DocumentStatus,
    Embedding,
    Found,
    Hit,
    Job,
    JobFailure,
    JobKind,
    NewCollection,
    NewDocument,
    NewSource,
    Query,
    Source,
    StoredChunk,
    StoredFile,
)
from runtime.core.memories import (
    Forgotten,
    FoundItem,
    HistoryEntry,
    Item,
    ItemChange,
    ItemQuery,
    Link,
    NewItem,
    Remembered,
    Scope,
)
from runtime.core.recall import Finding, Recall, StoredSnapshot
from runtime.recall.sources.kinds import kind_of
from tests.kit.clock import FakeClock

_WORD = re.compile(r"\w+")


def missing(what: str) -> NotFound:
    return NotFound(Fault(code="not_found", message=f"There is no '{what}'."))


def conflict(message: str) -> Conflict:
    return Conflict(Fault(code="conflict", message=message))


class Table:
    """Things of tenants by id, in the order of their making."""

    def __init__(self) -> None:
        self._rows: dict[tuple[TenantId, str], Any] = {}

    def put(self, tenant: TenantId, thing: Any) -> Any:
        self._rows[tenant, thing.id] = thing
        return thing

    def find(self, tenant: TenantId, id_: str) -> Any:
        try:
            return self._rows[tenant, id_]
        except KeyError:
            raise missing(id_) from None

    def drop(self, tenant: TenantId, id_: str) -> Any:
        self.find(tenant, id_)
        return self._rows.pop((tenant, id_))

    def of(self, tenant: TenantId) -> list[Any]:
        return [thing for (owner, _), thing in self._rows.items() if owner == tenant]


class Memory:
    """What all parts share."""

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        self.folder = folder
        self.clock = clock
        self.hold = False
        self.count = 0
        self.collections, self.documents, self.files = Table(), Table(), Table()
        self.jobs, self.sources, self.items = Table(), Table(), Table()
        self.texts: dict[str, str] = {}
        self.of_jobs: dict[str, list[str]] = {}
        self.history: dict[str, list[HistoryEntry]] = {}

    def new_id(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.count:06}"

    def where(self, content_hash: str) -> Path:
        return self.folder / content_hash

    def documents_of(self, tenant: TenantId, collection: str) -> list[Document]:
        return [each for each in self.documents.of(tenant) if each.collection == collection]

    def new_job(self, tenant: TenantId, kind: JobKind, **more: Any) -> Job:
        job = Job(
            id=JobId(self.new_id("job_")), kind=kind, status="completed", created_at=self.clock.now(), **more
        )
        self.jobs.put(tenant, job)
        return job


class FakeCollections:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def create(self, tenant: TenantId, new: NewCollection) -> Collection:
        if not 1 <= len(new.name) <= 256:
            fault = Fault(code="invalid_request", message="1 to 256 characters.", param="name")
            raise RequestInvalid(fault)
        self._check_free(tenant, new.name)
        now = self._memory.clock.now()
        made = Collection(
            id=CollectionId(self._memory.new_id("vs_")),
            name=new.name,
            description=new.description,
            language=new.language,
            embedding=Embedding(model=new.embedding_model or ModelId("words"), dimensions=new.dimensions),
            chunking=new.chunking or Chunking(),
            metadata=new.metadata,
            expiry=new.expiry,
            created_at=now,
            last_active_at=now,
        )
        self._memory.collections.put(tenant, made)
        return made

    async def list_all(self, tenant: TenantId) -> list[Collection]:
        return [self._counted(tenant, each) for each in self._memory.collections.of(tenant)]

    async def find(self, tenant: TenantId, collection: CollectionId) -> Collection:
        return self._counted(tenant, self._memory.collections.find(tenant, collection))

    async def find_by_name(self, tenant: TenantId, name: str) -> Collection | None:
        named = [each for each in await self.list_all(tenant) if each.name == name]
        return named[0] if named else None

    async def change(
        self, tenant: TenantId, collection: CollectionId, change: CollectionChange
    ) -> Collection:
        former = self._memory.collections.find(tenant, collection)
        told = {
            name: value
            for name in ("name", "description", "metadata", "expiry")
            if (value := getattr(change, name)) is not msgspec.UNSET
        }
        if "name" in told and told["name"] != former.name:
            self._check_free(tenant, told["name"])
        self._memory.collections.put(tenant, msgspec.structs.replace(former, **told))
        return await self.find(tenant, collection)

    async def remove(self, tenant: TenantId, collection: CollectionId) -> None:
        self._memory.collections.drop(tenant, collection)
        for each in self._memory.documents_of(tenant, collection):
            self._memory.documents.drop(tenant, each.id)
        for source in self._memory.sources.of(tenant):
            if source.collection == collection:
                self._memory.sources.drop(tenant, source.id)

    def _check_free(self, tenant: TenantId, name: str) -> None:
        if any(each.name == name for each in self._memory.collections.of(tenant)):
            raise conflict(f"The name '{name}' is taken.")

    def _counted(self, tenant: TenantId, collection: Collection) -> Collection:
        documents = self._memory.documents_of(tenant, collection.id)
        by_status = [each.status for each in documents]
        return msgspec.structs.replace(
            collection,
            counts=DocumentCounts(
                in_progress=by_status.count("in_progress"),
                completed=by_status.count("completed"),
                failed=by_status.count("failed"),
                cancelled=by_status.count("cancelled"),
            ),
            chunks=sum(each.chunks for each in documents),
            usage_bytes=sum(each.size_bytes for each in documents),
        )


class FakeDocuments:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def add(
        self, tenant: TenantId, collection: CollectionId, new: Sequence[NewDocument]
    ) -> tuple[Job, tuple[Document, ...]]:
        memory = self._memory
        memory.collections.find(tenant, collection)
        added = [await self._add_one(tenant, collection, each) for each in new]
        failures = tuple(
            JobFailure(name=each.name, document=each.id, fault=each.fault) for each in added if each.fault
        )
        job = memory.new_job(
            tenant,
            "ingest",
            collection=collection,
            total=len(added),
            done=sum(each.status == "completed" for each in added),
            failed=len(failures),
            failures=failures,
        )
        if any(each.status == "in_progress" for each in added):
            job = memory.jobs.put(tenant, msgspec.structs.replace(job, status="running"))
        memory.of_jobs[job.id] = [each.id for each in added]
        return job, tuple(added)

    async def list_all(
        self,
        tenant: TenantId,
        collection: CollectionId,
        *,
        limit: int = 100,
        after: DocumentId | None = None,
        before: DocumentId | None = None,
        is_newest_first: bool = True,
        status: DocumentStatus | None = None,
    ) -> list[Document]:
        self._memory.collections.find(tenant, collection)
        every = [e for e in self._memory.documents_of(tenant, collection) if status in (None, e.status)]
        above, below = (before, after) if is_newest_first else (after, before)
        kept = [e for e in every if (above is None or e.id > above) and (below is None or e.id < below)]
        kept.sort(key=lambda each: each.id, reverse=is_newest_first)
        return kept[-limit:] if before is not None and after is None else kept[:limit]

    async def find(self, tenant: TenantId, document: DocumentId) -> Document:
        found: Document = self._memory.documents.find(tenant, document)
        return found

    async def find_by_name(self, tenant: TenantId, collection: CollectionId, name: str) -> Document | None:
        return self._newest(tenant, collection, "name", name)

    async def find_by_file(self, tenant: TenantId, collection: CollectionId, file: FileId) -> Document | None:
        return self._newest(tenant, collection, "file", file)

    async def text(self, tenant: TenantId, document: DocumentId) -> str:
        await self.find(tenant, document)
        if document not in self._memory.texts:
            raise missing(f"text of {document}")
        return self._memory.texts[document]

    async def path(self, tenant: TenantId, document: DocumentId) -> Path:
        return self._memory.where((await self.find(tenant, document)).content_hash)

    async def chunks(self, tenant: TenantId, document: DocumentId) -> list[StoredChunk]:
        await self.find(tenant, document)
        return chunks_of(self._memory, document)

    async def change_attributes(
        self, tenant: TenantId, document: DocumentId, attributes: Attributes
    ) -> Document:
        found = await self.find(tenant, document)
        changed: Document = self._memory.documents.put(
            tenant, msgspec.structs.replace(found, attributes=attributes)
        )
        return changed

    async def remove(self, tenant: TenantId, document: DocumentId) -> None:
        self._memory.documents.drop(tenant, document)

    async def cancel(self, tenant: TenantId, document: DocumentId) -> Document:
        found = await self.find(tenant, document)
        if found.status == "in_progress":
            found = self._memory.documents.put(tenant, msgspec.structs.replace(found, status="cancelled"))
        return found

    async def finish(self, tenant: TenantId, document: DocumentId) -> None:
        """Let a document that was held be completed."""
        found = await self.find(tenant, document)
        self._memory.documents.put(tenant, msgspec.structs.replace(found, status="completed"))

    def _newest(self, tenant: TenantId, collection: CollectionId, field: str, value: str) -> Document | None:
        self._memory.collections.find(tenant, collection)
        every = self._memory.documents_of(tenant, collection)
        found = [each for each in every if getattr(each, field) == value]
        return found[-1] if found else None

    async def _add_one(self, tenant: TenantId, collection: CollectionId, new: NewDocument) -> Document:
        memory = self._memory
        content = await self._content(tenant, new)
        sha256 = hashlib.sha256(content).hexdigest()
        await anyio.Path(memory.where(sha256)).write_bytes(content)
        field = "uri" if new.replaces == "uri" else "name"
        former = self._newest(tenant, collection, field, getattr(new, field) or "")
        if former is not None and former.content_hash == sha256 and former.status == "completed":
            return former

        document, fault = DocumentId(memory.new_id("doc_")), fault_of(content)
        if fault is None:
            memory.texts[document] = content.decode("utf-8", "replace")
            if former is not None and new.replaces != "nothing":
                memory.documents.drop(tenant, former.id)
        status: DocumentStatus = "failed" if fault else "in_progress" if memory.hold else "completed"
        stored: Document = memory.documents.put(
            tenant,
            Document(
                id=document,
                collection=collection,
                name=new.name,
                uri=new.uri,
                media_type=new.media_type or "text/plain",
                language=new.language or "",
                status=status,
                fault=fault,
                attributes=new.attributes,
                tags=new.tags,
                file=new.file,
                content_hash=sha256,
                size_bytes=len(content),
                chunks=0 if fault else len(chunks_of(memory, document)),
                created_at=memory.clock.now(),
                changed_at=memory.clock.now(),
                valid_from=new.valid_from,
                valid_to=new.valid_to,
                expires_at=new.expires_at,
                chunking=new.chunking or Chunking(),
            ),
        )
        return stored

    async def _content(self, tenant: TenantId, new: NewDocument) -> bytes:
        if new.file is not None:
            file = self._memory.files.find(tenant, new.file)
            return await anyio.Path(self._memory.where(file.sha256)).read_bytes()
        return new.content if new.content is not None else (new.text or "").encode()


def fault_of(content: bytes) -> DocumentFault | None:
    if content.startswith(b"broken"):
        return DocumentFault(code="broken", message="It is broken. Repair it.")
    return None if content else DocumentFault(code="empty", message="It is empty. Write something.")


def chunks_of(memory: Memory, document: DocumentId) -> list[StoredChunk]:
    """Return the paragraphs of a document as its chunks."""
    chunks, start = [], 0
    for ordinal, text in enumerate(memory.texts.get(document, "").split("\n\n")):
        number = ChunkId(int(document.removeprefix("doc_")) * 1000 + ordinal)
        chunks.append(
            StoredChunk(
                id=number, document=document, ordinal=ordinal, start=start, end=start + len(text), text=text
            )
        )
        start += len(text) + 2
    return chunks


class FakeFiles:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def add(
        self,
        tenant: TenantId,
        name: str,
        purpose: str,
        content: AsyncIterator[bytes],
        *,
        expires_after_s: float | None = None,
        media_type: str | None = None,
    ) -> StoredFile:
        memory, sha256, size = self._memory, hashlib.sha256(), 0
        draft = anyio.Path(memory.folder / memory.new_id("draft"))
        try:
            async with await draft.open("wb") as file:
                async for piece in content:
                    assert len(piece) <= 1024 * 1024, "pieces are small"
                    await file.write(piece)
                    sha256.update(piece)
                    size += len(piece)
            await draft.rename(memory.where(sha256.hexdigest()))
        finally:
            await draft.unlink(missing_ok=True)
        now = memory.clock.now()
        stored: StoredFile = memory.files.put(
            tenant,
            StoredFile(
                id=FileId(memory.new_id("file-")),
                name=name,
                purpose=purpose,
                size_bytes=size,
                sha256=sha256.hexdigest(),
                media_type=media_type or "application/octet-stream",
                created_at=now,
                expires_at=None if expires_after_s is None else now + expires_after_s,
            ),
        )
        return stored

    async def list_all(
        self,
        tenant: TenantId,
        *,
        purpose: str | None = None,
        limit: int = 10_000,
        after: FileId | None = None,
        is_newest_first: bool = True,
    ) -> list[StoredFile]:
        every = [each for each in self._memory.files.of(tenant) if purpose in (None, each.purpose)]
        every.sort(key=lambda each: each.id, reverse=is_newest_first)
        if after is not None:
            every = [each for each in every if (each.id < after if is_newest_first else each.id > after)]
        return every[:limit]

    async def find(self, tenant: TenantId, file: FileId) -> StoredFile:
        found: StoredFile = self._memory.files.find(tenant, file)
        return found

    async def path(self, tenant: TenantId, file: FileId) -> Path:
        return self._memory.where((await self.find(tenant, file)).sha256)

    async def remove(self, tenant: TenantId, file: FileId) -> None:
        self._memory.files.drop(tenant, file)


class FakeSearcher:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.queries: list[Query] = []

    async def search(self, tenant: TenantId, query: Query) -> Found:
        self.queries.append(query)
        wanted = words_of(query.text)
        hits: list[Hit] = []
        for collection in query.collections:
            self._memory.collections.find(tenant, collection)
            for document in self._memory.documents_of(tenant, collection):
                if query.where is not None and not is_met(query.where, document.attributes):
                    continue
                for chunk in chunks_of(self._memory, document.id):
                    score = len(wanted & words_of(chunk.text)) / max(len(wanted), 1)
                    if score > 0 and score >= query.threshold:
                        hits.append(Hit(chunk=chunk, document=document, score=score))
        hits.sort(key=lambda hit: -hit.score)
        window = hits[query.offset : query.offset + query.limit]
        return Found(hits=tuple(window), is_more=len(hits) > query.offset + query.limit)


def words_of(text: str) -> set[str]:
    return {each.lower() for each in _WORD.findall(text)}


def is_met(where: Filter, attributes: Attributes) -> bool:
    """Evaluate the operators that the tests use."""
    if isinstance(where, Compound):
        met = [is_met(each, attributes) for each in where.filters]
        return all(met) if where.type == "and" else any(met) if where.type == "or" else not met[0]

    assert isinstance(where, Comparison)
    value: Any = attributes.get(where.key)
    wanted: Any = where.value
    match where.type:
        case "eq":
            return bool(value == wanted)
        case "ne":
            return bool(value != wanted)
        case "gte":
            return value is not None and bool(value >= wanted)
        case "in":
            return value in wanted
        case _:
            raise AssertionError(where.type)


class FakeMemories:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def remember(self, tenant: TenantId, new: NewItem) -> Remembered:
        for each in self._memory.items.of(tenant):
            if each.text == new.text and each.scope == new.scope:
                return Remembered(item=each, outcome="known")
        told = {name: getattr(new, name) for name in Item.__struct_fields__ if name in new.__struct_fields__}
        links = tuple(Link(kind="derived_from", to=each) for each in new.derived_from)
        for other in new.derived_from:
            self._memory.items.find(tenant, other)
        item = Item(
            id=ItemId(self._memory.new_id("mem_")),
            created_at=self._memory.clock.now(),
            links=links,
            **told,
        )
        self._memory.items.put(tenant, item)
        self._note(item, "stored", new.provenance.by)
        return Remembered(item=item, outcome="stored")

    async def revise(self, tenant: TenantId, item: ItemId, change: ItemChange, by: str | None = None) -> Item:
        former: Item = self._memory.items.find(tenant, item)
        if former.superseded_by is not None:
            raise conflict(f"'{item}' was superseded by '{former.superseded_by}'.")
        told = {
            name: value
            for name in change.__struct_fields__
            if name != "contradicts" and (value := getattr(change, name)) is not msgspec.UNSET
        }
        if "text" not in told:
            revised: Item = self._memory.items.put(tenant, msgspec.structs.replace(former, **told))
        else:
            successor = ItemId(self._memory.new_id("mem_"))
            revised = self._memory.items.put(tenant, msgspec.structs.replace(former, id=successor, **told))
            ended = msgspec.structs.replace(
                former, superseded_by=successor, ended_at=self._memory.clock.now()
            )
            self._memory.items.put(tenant, ended)
            self._memory.history[successor] = [*self._memory.history[item]]
        self._note(revised, "revised", by)
        return revised

    async def forget(self, tenant: TenantId, items: Sequence[ItemId]) -> Forgotten:
        for item in items:
            self._memory.items.find(tenant, item)
        for item in items:
            self._memory.items.drop(tenant, item)
        return Forgotten(items=tuple(items))

    async def find(self, tenant: TenantId, item: ItemId) -> Item:
        found: Item = self._memory.items.find(tenant, item)
        return found

    async def list_all(self, tenant: TenantId, query: ItemQuery) -> list[Item]:
        every = [
            each
            for each in self._memory.items.of(tenant)[::-1]
            if (query.is_ended_wanted or each.ended_at is None)
            and (not query.kinds or each.kind in query.kinds)
            and set(query.tags) <= set(each.tags)
            and (query.scope is None or is_in(each.scope, query.scope))
            and (query.after is None or each.id < query.after)
        ]
        return every[: query.limit]

    async def history(self, tenant: TenantId, item: ItemId) -> list[HistoryEntry]:
        self._memory.items.find(tenant, item)
        return self._memory.history[item]

    async def search(self, tenant: TenantId, query: Query, scope: Scope | None) -> list[FoundItem]:
        wanted = words_of(query.text)
        found = [
            FoundItem(item=each, score=len(wanted & words_of(each.text)) / max(len(wanted), 1))
            for each in self._memory.items.of(tenant)
            if scope is None or is_in(each.scope, scope)
        ]
        return sorted((each for each in found if each.score > 0), key=lambda each: -each.score)[: query.limit]

    async def consolidate(self, tenant: TenantId) -> Job:
        return self._memory.new_job(tenant, "consolidate")

    async def export(self, tenant: TenantId) -> AsyncIterator[Mapping[str, Any]]:
        for each in self._memory.items.of(tenant):
            await anyio.lowlevel.checkpoint()
            yield msgspec.to_builtins(each)

    async def import_items(
        self, tenant: TenantId, lines: AsyncIterator[Mapping[str, Any]]
    ) -> tuple[int, list[str]]:
        count, problems = 0, []
        async for line in lines:
            try:
                item = msgspec.convert(line, Item)
            except msgspec.ValidationError as problem:
                problems.append(str(problem))
                continue
            self._memory.items.put(tenant, item)
            self._note(item, "imported", None)
            count += 1
        return count, problems

    def _note(self, item: Item, action: Any, by: str | None) -> None:
        entry = HistoryEntry(at=self._memory.clock.now(), action=action, by=by, item=item)
        self._memory.history.setdefault(item.id, []).append(entry)


def is_in(scope: Scope, asked: Scope) -> bool:
    pairs = (
        (scope.user, asked.user),
        (scope.agent, asked.agent),
        (scope.session, asked.session),
    )
    return all(own is None or own == wanted for own, wanted in pairs)


class FakeSources:
    """Follows places at which there never is anything."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def add(self, tenant: TenantId, collection: CollectionId, new: NewSource) -> Source:
        self._memory.collections.find(tenant, collection)
        kind = kind_of(new)
        if new.secret is not None:
            fault = Fault(code="invalid_request", message="There is no such variable.", param="secret")
            raise RequestInvalid(fault)
        if any(each.uri == new.uri for each in await self.list_all(tenant, collection)):
            raise conflict(f"'{new.uri}' is followed already.")
        now = self._memory.clock.now()
        source: Source = self._memory.sources.put(
            tenant,
            Source(
                id=SourceId(self._memory.new_id("src_")),
                collection=collection,
                kind=kind,
                uri=new.uri,
                interval_s=new.interval_s,
                created_at=now,
                next_at=now + new.interval_s,
            ),
        )
        await self.sync(tenant, source.id)
        return source

    async def list_all(self, tenant: TenantId, collection: CollectionId | None = None) -> list[Source]:
        if collection is not None:
            self._memory.collections.find(tenant, collection)
        return [e for e in self._memory.sources.of(tenant) if collection in (None, e.collection)]

    async def find(self, tenant: TenantId, source: SourceId) -> Source:
        found: Source = self._memory.sources.find(tenant, source)
        return found

    async def sync(self, tenant: TenantId, source: SourceId) -> Job:
        found = await self.find(tenant, source)
        return self._memory.new_job(tenant, "sync", source=source, collection=found.collection)

    async def pause(self, tenant: TenantId, source: SourceId, *, is_paused: bool) -> Source:
        found = await self.find(tenant, source)
        changed: Source = self._memory.sources.put(
            tenant,
            msgspec.structs.replace(
                found, is_paused=is_paused, next_at=None if is_paused else self._memory.clock.now()
            ),
        )
        return changed

    async def remove(self, tenant: TenantId, source: SourceId, *, is_keeping_documents: bool) -> None:
        self._memory.sources.drop(tenant, source)


class FakeJobs:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.waits: list[float] = []

    async def find(self, tenant: TenantId, job: JobId) -> Job:
        found: Job = self._memory.jobs.find(tenant, job)
        if found.status != "running":
            return found

        documents = [
            each for each in self._memory.documents.of(tenant) if each.id in self._memory.of_jobs[job]
        ]
        done = sum(each.status == "completed" for each in documents)
        is_over = all(each.status != "in_progress" for each in documents)
        return msgspec.structs.replace(found, done=done, status="completed" if is_over else "running")

    async def list_all(self, tenant: TenantId, *, limit: int = 100) -> list[Job]:
        return self._memory.jobs.of(tenant)[::-1][:limit]

    async def wait(self, tenant: TenantId, job: JobId, limit_s: float) -> Job:
        self.waits.append(limit_s)
        await anyio.lowlevel.checkpoint()
        return await self.find(tenant, job)

    async def cancel(self, tenant: TenantId, job: JobId) -> Job:
        found = await self.find(tenant, job)
        if found.status == "running":
            found = self._memory.jobs.put(tenant, msgspec.structs.replace(found, status="cancelled"))
        return found

    async def retry(self, tenant: TenantId, job: JobId) -> Job:
        found = await self.find(tenant, job)
        if not found.failed:
            raise conflict("Nothing of it failed.")
        return self._memory.new_job(tenant, "ingest", total=found.failed)


class FakeCare:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.taken: list[StoredSnapshot] = []

    async def check(self, *, is_repairing: bool) -> list[Finding]:
        lost = anyio.Path(self._memory.folder / "lost")
        if not await lost.exists():
            return []
        return [
            Finding(
                severity="inconsistency",
                where=lost.name,
                message="It belongs to nothing.",
                fix="It is removed.",
                is_repaired=is_repairing,
            )
        ]

    async def snapshots(self) -> list[StoredSnapshot]:
        return self.taken[::-1]

    async def take_snapshot(self) -> StoredSnapshot:
        snapshot = StoredSnapshot(name=f"copy-{len(self.taken)}", at=self._memory.clock.now(), size_bytes=1)
        self.taken.append(snapshot)
        return snapshot


def fake_recall(folder: Path, clock: FakeClock) -> tuple[Recall, Memory]:
    """Return Recall, and the memory behind it."""
    folder.mkdir(parents=True, exist_ok=True)
    memory = Memory(folder, clock)
    return (
        Recall(
            collections=FakeCollections(memory),
            documents=FakeDocuments(memory),
            files=FakeFiles(memory),
            searcher=FakeSearcher(memory),
            memories=FakeMemories(memory),
            sources=FakeSources(memory),
            jobs=FakeJobs(memory),
            care=FakeCare(memory),
        ),
        memory,
    )
