"""`lar recall remember`: an item of memory, told by hand."""

import argparse

from runtime.cli.output import notice, say, say_json
from runtime.cli.recall_calls import TENANT, with_recall
from runtime.cli.recall_search import scope_of
from runtime.core.ids import ItemId
from runtime.core.memories import NewItem, Scope


def remember(chosen: argparse.Namespace) -> int:
    """Store an item, or find that it is known."""
    new = NewItem(
        text=" ".join(chosen.text),
        kind=chosen.kind,
        scope=scope_of(chosen) or Scope(),
        importance=chosen.importance,
        is_pinned=chosen.pin,
        tags=tuple(chosen.tag),
        supersedes=tuple(ItemId(each) for each in chosen.supersedes),
    )
    remembered = with_recall(lambda recall: recall.memories.remember(TENANT, new))
    if chosen.json:
        say_json(remembered)
        return 0

    say(remembered.item.id)
    if remembered.outcome == "known":
        notice("It was known already.")
    if remembered.near:
        near = ", ".join(remembered.near)
        notice(f"Much the same is said by {near}. 'lar recall forget' or --supersedes tidies up.")
    return 0
