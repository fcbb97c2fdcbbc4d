"""`lar recall collections create, change, remove`."""

import argparse

import msgspec

from runtime.cli.output import EXIT_USAGE, CommandFailed, notice, say_json
from runtime.cli.recall_calls import TENANT, clean, confirm, counted, with_recall
from runtime.core.ids import ModelId
from runtime.core.knowledge import Chunking, CollectionChange, Expiry, NewCollection


def create(chosen: argparse.Namespace) -> int:
    """Make a collection."""
    new = NewCollection(
        name=chosen.name,
        description=chosen.description,
        language=chosen.language,
        embedding_model=None if chosen.model is None else ModelId(chosen.model),
        chunking=_chunking(chosen),
        expiry=None if chosen.expires_after is None else Expiry(days=chosen.expires_after),
    )
    made = with_recall(lambda recall: recall.collections.create(TENANT, new))
    if chosen.json:
        say_json(made)
    else:
        notice(f"✔ '{clean(made.name)}' is {made.id}.")
    return 0


def change(chosen: argparse.Namespace) -> int:
    """Change a collection; another model makes its vectors anew behind the scenes."""
    wishes = {
        "name": chosen.name,
        "description": chosen.description,
        "embedding_model": chosen.model,
    }
    told = {name: value for name, value in wishes.items() if value is not None}
    if not told:
        raise CommandFailed("Say what to change: --name, --description or --model.", EXIT_USAGE)

    wanted = msgspec.convert(told, CollectionChange)
    changed = with_recall(lambda recall: recall.collections.change(TENANT, chosen.collection, wanted))
    if chosen.json:
        say_json(changed)
    else:
        notice(f"✔ '{clean(changed.name)}' is changed.")
        if changed.is_reembedding:
            notice(
                "Its vectors are being made anew; the old ones serve until then. 'lar recall jobs' shows it."
            )
    return 0


def remove(chosen: argparse.Namespace) -> int:
    """Remove a collection, after asking."""
    found = with_recall(lambda recall: recall.collections.find(TENANT, chosen.collection))
    documents = counted(found.counts.total, "document")
    question = f"Remove '{clean(found.name)}' with {documents} and everything that follows places into it?"
    confirm(question, is_agreed=chosen.yes)
    with_recall(lambda recall: recall.collections.remove(TENANT, found.id))
    notice(f"✔ '{clean(found.name)}' is gone, with {documents}.")
    return 0


def _chunking(chosen: argparse.Namespace) -> Chunking | None:
    if chosen.chunk_tokens is None and not chosen.overlap_tokens:
        return None

    most = Chunking().max_tokens if chosen.chunk_tokens is None else chosen.chunk_tokens
    return Chunking(max_tokens=most, overlap_tokens=chosen.overlap_tokens)
