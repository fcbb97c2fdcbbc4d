"""`lar recall forget`: documents and items of memory go for good; what stood on them is told."""

import argparse
from dataclasses import dataclass, field

from runtime.api.remote.recall import RemoteRecall
from runtime.cli.output import EXIT_USAGE, CommandFailed, notice, say, say_json
from runtime.cli.recall_calls import TENANT, clean, confirm, counted, find_documents, one_line, with_recall
from runtime.core.ids import ItemId
from runtime.core.knowledge import Document
from runtime.core.memories import Forgotten, Item


@dataclass(slots=True)
class Meant:
    """What is to go."""

    documents: dict[str, Document] = field(default_factory=dict)
    items: dict[str, Item] = field(default_factory=dict)


def forget(chosen: argparse.Namespace) -> int:
    """Forget what is named, after asking; nothing goes where one of the names is unknown."""
    meant = with_recall(lambda recall: _find(recall, chosen))
    for document in meant.documents.values():
        notice(f"  {document.id}  {clean(document.name)}, {counted(document.chunks, 'chunk')}")
    for item in meant.items.values():
        notice(f"  {item.id}  {one_line(item.text, 100)}")
    what = [counted(len(meant.documents), "document")] if meant.documents else []
    what += [counted(len(meant.items), "item of memory", "items of memory")] if meant.items else []
    confirm(f"Forget {' and '.join(what)} for good?", is_agreed=chosen.yes)
    forgotten = with_recall(lambda recall: _forget(recall, meant))
    if chosen.json:
        say_json(forgotten)
        return 0

    say(f"{' and '.join(what)} forgotten.")
    if forgotten.depended:
        names = ", ".join(forgotten.depended)
        say(f"Derived from them, or in their place, and still there: {names}")
    notice("Snapshots keep what was forgotten until they go themselves: 'lar recall doctor --snapshots'.")
    return 0


async def _find(recall: RemoteRecall, chosen: argparse.Namespace) -> Meant:
    meant = Meant()
    for name in chosen.names:
        if name.startswith("item_"):
            meant.items[name] = await recall.memories.find(TENANT, ItemId(name))
            continue

        found = await find_documents(recall, name, chosen.collection)
        if not found:
            raise CommandFailed(
                f"There is no document '{name}'; nothing was forgotten. 'lar recall list NAME' shows names."
            )

        if len(found) > 1:
            ids = ", ".join(each.id for each in found)
            message = f"'{name}' is in several collections: {ids}. Say --collection, or name the ids."
            raise CommandFailed(f"{message} Nothing was forgotten.", EXIT_USAGE)
        meant.documents[found[0].id] = found[0]
    return meant


async def _forget(recall: RemoteRecall, meant: Meant) -> Forgotten:
    forgotten = Forgotten(items=())
    if meant.items:
        forgotten = await recall.memories.forget(TENANT, [each.id for each in meant.items.values()])
    for document in meant.documents.values():
        await recall.documents.remove(TENANT, document.id)
    return Forgotten(
        items=forgotten.items,
        depended=forgotten.depended,
        documents=forgotten.documents + len(meant.documents),
    )
