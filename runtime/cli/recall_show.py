"""`lar recall show`: one document, item of memory or collection, whole."""

import argparse
from typing import Any

from runtime.api.remote.recall import RemoteRecall
from runtime.cli.output import CommandFailed, say, say_json
from runtime.cli.recall_calls import TENANT, clean, day, find_documents, size, with_recall
from runtime.core.ids import ItemId
from runtime.core.knowledge import Collection, Document, StoredChunk
from runtime.core.memories import HistoryEntry, Item


def show(chosen: argparse.Namespace) -> int:
    """Print what a name or id stands for."""
    with_recall(lambda recall: _show(recall, chosen))
    return 0


async def _show(recall: RemoteRecall, chosen: argparse.Namespace) -> None:
    if chosen.name.startswith("item_"):
        item = await recall.memories.find(TENANT, ItemId(chosen.name))
        history = await recall.memories.history(TENANT, item.id)
        _show_item(item, history, is_json=chosen.json)
        return

    documents = await find_documents(recall, chosen.name, chosen.collection)
    if len(documents) > 1:
        ids = ", ".join(each.id for each in documents)
        raise CommandFailed(
            f"'{chosen.name}' is the name of several documents: {ids}. Name one by its id, or --collection."
        )

    if documents:
        await _show_document(recall, documents[0], chosen)
        return

    await _show_collection(recall, chosen)


async def _show_collection(recall: RemoteRecall, chosen: argparse.Namespace) -> None:
    known = await recall.collections.list_all(TENANT)
    for collection in known:
        if chosen.name in (collection.id, collection.name):
            _print(chosen, collection, _collection_lines(collection))
            return

    raise CommandFailed(
        f"No document and no collection is called '{chosen.name}'. 'lar recall list' shows what is there."
    )


async def _show_document(recall: RemoteRecall, document: Document, chosen: argparse.Namespace) -> None:
    if chosen.text:
        text = await recall.documents.text(TENANT, document.id)
        if chosen.json:
            say_json({"document": document, "text": text})
        else:
            say(clean(text))
    elif chosen.chunks:
        chunks = await recall.documents.chunks(TENANT, document.id)
        if chosen.json:
            say_json({"document": document, "chunks": chunks})
        else:
            _show_chunks(chunks)
    else:
        _print(chosen, document, _document_lines(document))


def _show_chunks(chunks: list[StoredChunk]) -> None:
    for chunk in chunks:
        heading = " > ".join(clean(each) for each in chunk.heading)
        say(f"── {chunk.ordinal + 1} · characters {chunk.start} to {chunk.end} · {heading}".rstrip(" ·"))
        say(clean(chunk.text))


def _show_item(item: Item, history: list[HistoryEntry], *, is_json: bool) -> None:
    if is_json:
        say_json({"item": item, "history": history})
        return

    _say_pairs(_item_lines(item))
    for entry in history:
        by = f" by {clean(entry.by)}" if entry.by else ""
        say(f"  {day(entry.at)}  {entry.action}{by}: {clean(entry.item.text)}")


def _print(chosen: argparse.Namespace, whole: object, lines: list[tuple[str, Any]]) -> None:
    if chosen.json:
        say_json(whole)
    else:
        _say_pairs(lines)


def _say_pairs(lines: list[tuple[str, Any]]) -> None:
    for name, value in lines:
        if value not in (None, "", (), {}):
            say(f"{name.ljust(12)}  {clean(str(value))}")


def _document_lines(document: Document) -> list[tuple[str, Any]]:
    return [
        ("id", document.id),
        ("name", document.name),
        ("title", document.title),
        ("from", document.uri),
        ("collection", document.collection),
        ("status", document.status),
        ("fault", None if document.fault is None else document.fault.message),
        ("notes", " ".join(document.notes)),
        ("type", document.media_type),
        ("language", document.language),
        ("size", size(document.size_bytes)),
        ("chunks", document.chunks),
        ("tags", ", ".join(document.tags)),
        ("attributes", ", ".join(f"{key}={value}" for key, value in document.attributes.items())),
        ("source", document.source),
        ("added", day(document.created_at)),
        ("changed", day(document.changed_at)),
        ("expires", day(document.expires_at)),
        ("sha256", document.content_hash),
    ]


def _collection_lines(collection: Collection) -> list[tuple[str, Any]]:
    counts = collection.counts
    embedding = collection.embedding
    return [
        ("id", collection.id),
        ("name", collection.name),
        ("description", collection.description),
        ("language", collection.language),
        ("documents", f"{counts.completed} read, {counts.in_progress} waiting, {counts.failed} failed"),
        ("chunks", f"{collection.chunks} of {collection.chunking.max_tokens} tokens at most"),
        ("size", size(collection.usage_bytes)),
        ("vectors", f"{embedding.model}, {embedding.dimensions or 'not yet known'} dimensions"),
        ("made", day(collection.created_at)),
        ("used", day(collection.last_active_at)),
        (
            "expires",
            None if collection.expiry is None else f"{collection.expiry.days} days after its last use",
        ),
    ]


def _item_lines(item: Item) -> list[tuple[str, Any]]:
    return [
        ("id", item.id),
        ("kind", item.kind),
        ("text", item.text),
        ("user", item.scope.user),
        ("agent", item.scope.agent),
        ("session", item.scope.session),
        ("by", item.provenance.by),
        ("from", item.provenance.uri),
        ("created", day(item.created_at)),
        ("ended", day(item.ended_at)),
        ("superseded", item.superseded_by),
        ("importance", item.importance),
        ("confidence", item.confidence),
        ("uses", item.uses),
        ("tags", ", ".join(item.tags)),
        ("links", ", ".join(f"{each.kind} {each.to}" for each in item.links)),
    ]
