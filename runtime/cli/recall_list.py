"""`lar recall list`: collections, the documents of one, or what is remembered."""

import argparse

from runtime.api.remote.recall import RemoteRecall
from runtime.cli.output import notice, say_json, say_table
from runtime.cli.recall_calls import TENANT, clean, counted, day, one_line, size, with_recall
from runtime.cli.recall_search import scope_of
from runtime.core.knowledge import Collection, Document
from runtime.core.memories import Item, ItemQuery

_PAGE = 500


def list_known(chosen: argparse.Namespace) -> int:
    """Print what is there."""
    if chosen.memory:
        return _list_items(chosen)

    return _list_collections(chosen) if chosen.collection is None else _list_documents(chosen)


def _list_collections(chosen: argparse.Namespace) -> int:
    found = with_recall(lambda recall: recall.collections.list_all(TENANT))
    if chosen.json:
        say_json(found)
    elif found:
        headers = ("NAME", "ID", "DOCUMENTS", "CHUNKS", "SIZE", "MODEL", "USED")
        say_table(headers, [_collection(each) for each in found])
    else:
        notice("There are no collections yet. 'lar recall add PLACE' takes something in.")
    return 0


def _list_documents(chosen: argparse.Namespace) -> int:
    found, is_more = with_recall(lambda recall: _documents(recall, chosen))
    if chosen.json:
        say_json(found)
        return 0

    if found:
        headers = ("DOCUMENT", "STATUS", "CHUNKS", "SIZE", "CHANGED", "NAME")
        say_table(headers, [_document(each) for each in found])
    else:
        notice("There are no such documents in it.")
    if is_more:
        notice(f"{counted(len(found), 'document')} shown, there are more: --limit.")
    return 0


async def _documents(recall: RemoteRecall, chosen: argparse.Namespace) -> tuple[list[Document], bool]:
    found: list[Document] = []
    while len(found) <= chosen.limit:
        page = await recall.documents.list_all(
            TENANT,
            chosen.collection,
            limit=min(_PAGE, chosen.limit + 1 - len(found)),
            after=found[-1].id if found else None,
            status=chosen.status,
        )
        if not page:
            break
        found += page
    return found[: chosen.limit], len(found) > chosen.limit


def _list_items(chosen: argparse.Namespace) -> int:
    query = ItemQuery(
        scope=scope_of(chosen), is_ended_wanted=chosen.ended, limit=max(1, min(chosen.limit, 999))
    )
    items = with_recall(lambda recall: recall.memories.list_all(TENANT, query))
    if chosen.json:
        say_json(items)
    elif items:
        say_table(("ITEM", "KIND", "CREATED", "SCOPE", "TEXT"), [_item(each) for each in items])
    else:
        notice("Nothing is remembered yet. 'lar recall remember' does.")
    return 0


def _collection(collection: Collection) -> list[str]:
    counts = collection.counts
    parts = [f"{counts.total}"]
    parts += [f"{counts.in_progress} being read"] if counts.in_progress else []
    parts += [f"{counts.failed} failed"] if counts.failed else []
    return [
        one_line(collection.name, 60),
        collection.id,
        ", ".join(parts),
        str(collection.chunks),
        size(collection.usage_bytes),
        collection.embedding.model + (" (changing)" if collection.is_reembedding else ""),
        day(collection.last_active_at),
    ]


def _document(document: Document) -> list[str]:
    name = clean(document.name) if document.fault is None else f"{document.name}: {document.fault.message}"
    return [
        document.id,
        document.status,
        str(document.chunks),
        size(document.size_bytes),
        day(document.changed_at),
        one_line(name, 200),
    ]


def _item(item: Item) -> list[str]:
    scope = item.scope
    words = [each for each in (scope.user, scope.agent, scope.session) if each]
    ended = " (ended)" if item.ended_at is not None else ""
    return [
        item.id,
        item.kind + ended,
        day(item.created_at),
        one_line("/".join(words), 40),
        one_line(item.text, 120),
    ]
