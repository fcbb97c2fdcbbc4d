"""Rows of items: each is written together with its document, chunk and text, in the transaction of a pen.

The document's row says what a search looks at, the item's row says everything.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from runtime.core.errors import Fault, NotFound
from runtime.core.filters import Attributes
from runtime.core.ids import ChunkId, DocumentId, ItemId
from runtime.core.memories import Item, Link, Provenance, Scope
from runtime.recall.documents import log_meta, remove_documents
from runtime.recall.marks import Shelfmark
from runtime.recall.memory.likeness import Print
from runtime.recall.truth import NewChunk, Pen

KIND_KEY = "kind"
"""The attribute of an item's document that tells its kind, so that filters can ask for it."""

_COLUMNS = (
    "id, kind, text, scope_user, scope_agent, scope_session, provenance, created_at, ended_at, valid_from, "
    "valid_to, expires_at, importance, confidence, uses, last_used_at, is_pinned, tags, attributes, "
    "superseded_by"
)
_ITEM_TYPES = (
    *["VARCHAR"] * 7,
    *["DOUBLE"] * 7,
    *["BIGINT", "DOUBLE", "BOOLEAN", "VARCHAR", "VARCHAR", "VARCHAR"],
    *["VARCHAR", "BIGINT", "VARCHAR", "BOOLEAN"],
)
"""Of `_COLUMNS`, then of the fingerprints and `is_former`."""
_MARKS = "text_hash, simhash, sayings_hash, is_former"
_DOCUMENT_COLUMNS = (
    *("id", "name", "attributes", "tags", "content_hash", "size_bytes", "text_bytes", "created_at"),
    *("changed_at", "valid_from", "valid_to", "expires_at", "ended_at", "importance"),
    *("scope_user", "scope_agent", "scope_session"),
)
_DOCUMENT_TYPES = (*["VARCHAR"] * 5, *["BIGINT"] * 2, *["DOUBLE"] * 7, *["VARCHAR"] * 3)
_VIEWED = (
    "(scope_user IS NULL OR scope_user IS NOT DISTINCT FROM {user}) "
    "AND (scope_agent IS NULL OR scope_agent IS NOT DISTINCT FROM {agent}) "
    "AND (scope_session IS NULL OR scope_session IS NOT DISTINCT FROM {session})"
)
_LIVE = "ended_at IS NULL AND (is_pinned OR expires_at IS NULL OR expires_at > {now})"
_IDS = "(SELECT unnest($2::VARCHAR[]))"
_NO_LINKS = f"DELETE FROM item_link WHERE ns = $1 AND (item IN {_IDS} OR other IN {_IDS})"  # noqa: S608 - constants
_NO_HISTORY = f"DELETE FROM item_history WHERE ns = $1 AND item IN {_IDS}"  # noqa: S608 - constants
_NO_ITEMS = f"DELETE FROM item WHERE ns = $1 AND id IN {_IDS}"  # noqa: S608 - constants
_NO_SUCCESSOR = f"UPDATE item SET superseded_by = NULL WHERE ns = $1 AND superseded_by IN {_IDS}"  # noqa: S608 - constants


def selection(where: str, order: str = "created_at, id") -> str:
    """Return the query for items of the namespace $1, each with its links, in one statement.

    `where` may use further parameters and ends with a limit where there is one.
    """
    return (
        f"WITH chosen AS (SELECT {_COLUMNS} FROM item WHERE ns = $1 AND {where}), "  # noqa: S608 - constants
        "link AS (SELECT item, list([kind, other] ORDER BY kind, other) AS links FROM item_link "
        "WHERE ns = $1 AND item IN (SELECT id FROM chosen) GROUP BY item), "
        "older AS (SELECT superseded_by AS newer, list(id ORDER BY id) AS ids FROM item "
        "WHERE ns = $1 AND superseded_by IN (SELECT id FROM chosen) GROUP BY superseded_by) "
        "SELECT chosen.*, older.ids, link.links FROM chosen LEFT JOIN link ON link.item = chosen.id "
        f"LEFT JOIN older ON older.newer = chosen.id ORDER BY {order}"
    )


def live(now: str) -> str:
    """Return the condition that an item has neither ended nor expired; `now` names a parameter."""
    return _LIVE.format(now=now)


def seen_from(user: str, agent: str, session: str) -> str:
    """Return the condition that a scope sees an item; its parts are given as parameters' names."""
    return _VIEWED.format(user=user, agent=agent, session=session)


SELECT_BY_ID = selection(f"id IN {_IDS}")
"""Items of the namespace $1 whose ids are in the list $2."""


def item_of(row: Sequence[Any]) -> Item:
    """Return the item of a row that `selection` gave."""
    return Item(
        id=ItemId(row[0]),
        kind=row[1],
        text=row[2],
        scope=Scope(user=row[3], agent=row[4], session=row[5]),
        provenance=msgspec.json.decode(row[6], type=Provenance),
        created_at=row[7],
        ended_at=row[8],
        valid_from=row[9],
        valid_to=row[10],
        expires_at=row[11],
        importance=row[12],
        confidence=row[13],
        uses=row[14],
        last_used_at=row[15],
        is_pinned=row[16],
        tags=msgspec.json.decode(row[17], type=tuple[str, ...]),
        attributes=msgspec.json.decode(row[18], type=Attributes),
        superseded_by=None if row[19] is None else ItemId(row[19]),
        links=(
            *(Link(kind="supersedes", to=ItemId(older)) for older in row[20] or ()),
            *(Link(kind=kind, to=ItemId(other)) for kind, other in row[21] or ()),
        ),
    )


def find_items(pen: Pen, ns: int, ids: Iterable[ItemId]) -> dict[ItemId, Item]:
    """Return those of the items that are in a namespace, as this transaction leaves them."""
    wanted = list(dict.fromkeys(ids))
    if not wanted:
        return {}

    return {ItemId(row[0]): item_of(row) for row in pen.rows(SELECT_BY_ID, [ns, wanted])}


def find_item(pen: Pen, ns: int, item: ItemId) -> Item:
    """Return one item. Raises NotFound."""
    found = find_items(pen, ns, [item]).get(item)
    if found is None:
        raise no_item(item)
    return found


def no_item(item: ItemId, param: str | None = None) -> NotFound:
    """Return the error that says so."""
    return NotFound(Fault(code="not_found", message=f"There is no item '{item[:80]}'.", param=param))


class NewRow(NamedTuple):
    """An item that is not here yet."""

    item: Item
    marks: Print
    is_former: bool = False


def insert_items(pen: Pen, home: Shelfmark, new: Sequence[NewRow]) -> list[ChunkId]:
    """Store items that are not here yet, without their links; return their chunks in order."""
    if not new:
        return []

    rows = [[*_values(each.item), *each.marks, each.is_former] for each in new]
    columns = ", ".join(f"unnest(${place}::{kind}[])" for place, kind in enumerate(_ITEM_TYPES, start=2))
    pen.execute(
        f"INSERT INTO item (ns, {_COLUMNS}, {_MARKS}) SELECT $1, {columns}",
        [home.ns, *(list(column) for column in zip(*rows, strict=True))],
    )
    items = [each.item for each in new]
    _insert_documents(pen, home, items)
    ids, texts = [each.id for each in items], [each.text for each in items]
    pen.execute(
        "INSERT INTO body SELECT unnest($1::VARCHAR[]), $2, unnest($3::VARCHAR[])", [ids, home.ns, texts]
    )
    return pen.put_chunks_of(home.ns, [(DocumentId(each.id), _chunk_of(each)) for each in items])


def _insert_documents(pen: Pen, home: Shelfmark, items: Sequence[Item]) -> None:
    """Store what searches see of items."""
    rows = [_document_values(each) for each in items]
    columns = ", ".join(f"unnest(${place}::{kind}[])" for place, kind in enumerate(_DOCUMENT_TYPES, start=3))
    pen.execute(
        "INSERT INTO document (ns, tenant, title, media_type, language, status, notes, chunks, chunking, "
        f"replaces, {', '.join(_DOCUMENT_COLUMNS)}) "
        f"SELECT $1, $2, '', 'text/plain', '', 'completed', '[]', 1, '{{}}', 'nothing', {columns}",
        [home.ns, home.tenant, *(list(column) for column in zip(*rows, strict=True))],
    )


def rewrite_item(pen: Pen, home: Shelfmark, item: Item, now: float) -> None:
    """Store what has changed of an item beside its text, kind, scope, uses and links."""
    tags = _json(item.tags)
    pen.execute(
        "UPDATE item SET ended_at = ?, valid_from = ?, valid_to = ?, expires_at = ?, importance = ?, "
        "confidence = ?, is_pinned = ?, tags = ?, attributes = ?, superseded_by = ? WHERE id = ?",
        [
            item.ended_at,
            item.valid_from,
            item.valid_to,
            item.expires_at,
            item.importance,
            item.confidence,
            item.is_pinned,
            tags,
            _json(item.attributes),
            item.superseded_by,
            item.id,
        ],
    )
    pen.execute(
        "UPDATE document SET ended_at = ?, valid_from = ?, valid_to = ?, expires_at = ?, importance = ?, "
        "tags = ?, attributes = ?, changed_at = ? WHERE id = ?",
        [
            item.ended_at,
            item.valid_from,
            item.valid_to,
            _shown_expiry(item),
            item.importance,
            tags,
            _shown_attributes(item),
            now,
            item.id,
        ],
    )
    log_meta(pen, home.ns, [DocumentId(item.id)])


def add_uses(pen: Pen, uses: Mapping[ItemId, tuple[int, float]]) -> None:
    """Count uses of items, each with how many they were and when the last was; items may be gone by now."""
    pen.execute(
        "UPDATE item SET uses = item.uses + used.count, "
        "last_used_at = greatest(coalesce(item.last_used_at, 0), used.used_at) FROM (SELECT "
        "unnest($1::VARCHAR[]) AS id, unnest($2::BIGINT[]) AS count, unnest($3::DOUBLE[]) AS used_at) used "
        "WHERE item.id = used.id",
        [[*uses], [count for count, _ in uses.values()], [at for _, at in uses.values()]],
    )


def remove_items(pen: Pen, ns: int, items: Sequence[ItemId]) -> None:
    """Remove items everywhere, with their history and all links from and to them."""
    ids = [*items]
    remove_documents(pen, ns, [DocumentId(each) for each in ids])
    for sql in (_NO_LINKS, _NO_HISTORY, _NO_ITEMS, _NO_SUCCESSOR):
        pen.execute(sql, [ns, ids])


def _shown_expiry(item: Item) -> float | None:
    """Return when searches stop to see an item: what is pinned does not expire."""
    return None if item.is_pinned else item.expires_at


def _shown_attributes(item: Item) -> str:
    return _json({**item.attributes, KIND_KEY: item.kind})


def _chunk_of(item: Item) -> NewChunk:
    return NewChunk(ordinal=0, start=0, end=len(item.text), heading="[]", text=item.text)


def _document_values(item: Item) -> list[Any]:
    """Return the values of an item's document in the order of `_DOCUMENT_COLUMNS`."""
    content = item.text.encode()
    return [
        item.id,
        item.id,
        _shown_attributes(item),
        _json(item.tags),
        hashlib.sha256(content).hexdigest(),
        len(content),
        len(content),
        item.created_at,
        item.created_at,
        item.valid_from,
        item.valid_to,
        _shown_expiry(item),
        item.ended_at,
        item.importance,
        *msgspec.structs.astuple(item.scope),
    ]


def _values(item: Item) -> list[Any]:
    """Return the values of an item in the order of `_COLUMNS`."""
    return [
        item.id,
        item.kind,
        item.text,
        *msgspec.structs.astuple(item.scope),
        _json(item.provenance),
        item.created_at,
        item.ended_at,
        item.valid_from,
        item.valid_to,
        item.expires_at,
        item.importance,
        item.confidence,
        item.uses,
        item.last_used_at,
        item.is_pinned,
        _json(item.tags),
        _json(item.attributes),
        item.superseded_by,
    ]


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
