"""What a stranger may try with the ids of another tenant: every route of recall, each way to fill its path.

`settle` gives a tenant one of everything; `attempts_on` tells the requests that name something of it.
"""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runtime.api.knowledge_routes import KNOWLEDGE_ROUTES
from tests.kit.knowledge_stage import KnowledgeStage

SHARED = "notes"
"""A name that both tenants use."""
FORM = "form"
LINES = "lines"
_PLACE = re.compile(r"{(\w+)}")
_PATTERN = re.compile(r"{(\w+):[^}]+}")


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One request."""

    route: str
    method: str
    path: str
    body: Any
    """JSON; or FORM, LINES; None: none."""
    is_foreign: bool
    """Whether it names something of the other tenant: then it must not be found."""


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """The ids of what a tenant has, by the names of the places in paths; `part` and others are for bodies."""

    key: Mapping[str, str]
    ids: Mapping[str, str]


async def settle(stage: KnowledgeStage, tenant: str, word: str) -> Holdings:
    """Give a tenant one of everything; `word` is in all its texts and nowhere else."""
    key = await stage.key(tenant, tenant)

    async def ask(method: str, path: str, **more: Any) -> Any:
        status, answer = await stage.ask(method, path, headers=key, **more)
        assert status < 300, (method, path, answer)
        return answer

    async def send(path: str, name: str, filename: str, **fields: str) -> Any:
        status, answer = await stage.upload(
            path, (name, f"{word} {filename}".encode(), filename), headers=key, fields=fields
        )
        assert status < 300, (path, answer)
        return answer

    store = await ask("POST", "/v1/vector_stores", json={"name": SHARED, "metadata": {"m": word}})
    own = await ask("POST", "/api/collections", json={"name": f"of-{tenant}"})
    file = await send("/v1/files", "file", f"{word}.txt", purpose="user_data")
    stores = f"/v1/vector_stores/{store['id']}"
    await ask("POST", f"{stores}/files", json={"file_id": file["id"], "attributes": {"a": word}})
    batch = await ask("POST", f"{stores}/file_batches", json={"file_ids": [file["id"]]})
    upload = await ask(
        "POST",
        "/v1/uploads",
        json={"bytes": 1, "filename": word, "mime_type": "text/plain", "purpose": "user_data"},
    )
    part = await send(f"/v1/uploads/{upload['id']}/parts", "data", "part")
    entry = await send(f"/api/collections/of-{tenant}/upload", "file", "entry.txt")
    added = await ask(
        "POST",
        f"/api/recall/collections/{SHARED}/documents",
        json={"documents": [{"name": "same name", "text": f"{word} text"}]},
    )
    source = await ask(
        "POST", f"/api/recall/collections/{SHARED}/sources", json={"uri": f"https://example.org/{word}"}
    )
    item = await ask("POST", "/api/recall/memories", json={"text": f"{word} is remembered"})
    return Holdings(
        key=key,
        ids={
            "vector_store_id": store["id"],
            "collection": store["id"],
            "file_id": file["id"],
            "batch_id": batch["id"],
            "upload_id": upload["id"],
            "part": part["id"],
            "name": own["data"]["name"],
            "entry": entry["data"]["key"],
            "document": added["documents"][0]["id"],
            "job": added["job"]["id"],
            "source": source["id"],
            "item": item["item"]["id"],
        },
    )


def attempts_on(theirs: Mapping[str, str], own: Mapping[str, str]) -> Iterator[Attempt]:
    """Tell every request that a stranger with things of its own can make of the ids that it has learnt."""
    for method, path, permission, _ in KNOWLEDGE_ROUTES:
        if permission != "infer":
            continue  # an operator looks after the whole store; tenants' keys do not come so far
        pattern = plain(path)
        places = _PLACE.findall(pattern)
        for owners in itertools.product((theirs, own), repeat=len(places)):
            values = {place: owner[place] for place, owner in zip(places, owners, strict=True)}
            is_path_foreign = any(owner is theirs for owner in owners)
            for body, is_body_foreign in _bodies(method, pattern, theirs):
                yield Attempt(
                    route=f"{method} {pattern}",
                    method=method,
                    path=pattern.format(**values),
                    body=body,
                    is_foreign=is_path_foreign or is_body_foreign,
                )


def plain(path: str) -> str:
    """Return a route's path with its places alone."""
    return _PATTERN.sub(r"{\1}", path)


def _bodies(method: str, pattern: str, theirs: Mapping[str, str]) -> list[tuple[Any, bool]]:
    """Return the bodies to try on a route, and whether each names something of the other tenant.

    A route that takes a body and is not here is an error, so that a new one is not left out.
    """
    if method in ("GET", "DELETE") and not pattern.endswith(("/entry/delete", "{name}/sources")):
        return [(None, False)]
    return _bodies_of(theirs)[f"{method} {pattern}"]


def _bodies_of(theirs: Mapping[str, str]) -> dict[str, list[tuple[Any, bool]]]:
    store, lar, kept = "/v1/vector_stores", "/api/recall", "/api/collections"
    file, item = theirs["file_id"], theirs["item"]
    collection, document = f"{lar}/collections/{{collection}}", f"{lar}/documents/{{document}}"
    return {
        "POST /v1/files": [(FORM, False)],
        "POST /v1/uploads": [({"bytes": 1, "filename": "f", "mime_type": "", "purpose": "user_data"}, False)],
        "POST /v1/uploads/{upload_id}/parts": [(FORM, False)],
        "POST /v1/uploads/{upload_id}/complete": [({"part_ids": [theirs["part"]]}, True)],
        "POST /v1/uploads/{upload_id}/cancel": [(None, False)],
        f"POST {store}": [({"name": SHARED}, False), ({"file_ids": [file]}, True)],
        f"POST {store}/{{vector_store_id}}": [({"name": "new"}, False)],
        f"POST {store}/{{vector_store_id}}/search": [({"query": "text remembered"}, False)],
        f"POST {store}/{{vector_store_id}}/files": [({"file_id": file}, True)],
        f"POST {store}/{{vector_store_id}}/files/{{file_id}}": [({"attributes": {"a": "b"}}, False)],
        f"POST {store}/{{vector_store_id}}/file_batches": [
            ({"file_ids": [file]}, True),
            ({"files": [{"file_id": file}]}, True),
        ],
        f"POST {store}/{{vector_store_id}}/file_batches/{{batch_id}}/cancel": [(None, False)],
        f"POST {kept}": [({"name": "another"}, False)],
        f"POST {kept}/{{name}}/search": [({"query": "text"}, False)],
        f"POST {kept}/{{name}}/reset": [(None, False)],
        f"POST {kept}/{{name}}/upload": [(FORM, False)],
        f"DELETE {kept}/{{name}}/entry/delete": [({"entry": theirs["entry"]}, True)],
        f"POST {kept}/{{name}}/sources": [({"url": "https://example.org/x"}, False)],
        f"GET {kept}/{{name}}/sources": [(None, False)],
        f"DELETE {kept}/{{name}}/sources": [({"url": "https://example.org/none"}, True)],
        f"POST {lar}/collections": [({"name": "of-another"}, False)],
        f"PATCH {collection}": [({"description": "d"}, False)],
        f"POST {collection}/documents": [
            (FORM, False),
            ({"documents": [{"name": "same name", "text": "other"}]}, False),
            ({"documents": [{"name": "n", "file": file}]}, True),
        ],
        f"PATCH {document}": [({"attributes": {"a": "b"}}, False)],
        f"POST {document}/cancel": [(None, False)],
        f"POST {lar}/search": [
            ({"text": "text"}, False),
            ({"text": "text", "collections": [theirs["collection"]]}, True),
            ({"text": "text", "collections": [theirs["name"]]}, True),
            ({"text": "text", "documents": [theirs["document"]]}, False),
        ],
        f"POST {lar}/jobs/{{job}}/cancel": [(None, False)],
        f"POST {lar}/jobs/{{job}}/retry": [(None, False)],
        f"POST {collection}/sources": [({"uri": "https://example.org/y"}, False)],
        f"PATCH {lar}/sources/{{source}}": [({"is_paused": True}, False)],
        f"POST {lar}/sources/{{source}}/sync": [(None, False)],
        f"POST {lar}/memories": [
            ({"text": "mine"}, False),
            ({"text": "from theirs", "derived_from": [item]}, True),
        ],
        f"POST {lar}/memories/forget": [({"items": [item]}, True)],
        f"POST {lar}/memories/search": [({"text": "remembered"}, False)],
        f"POST {lar}/memories/consolidate": [(None, False)],
        f"POST {lar}/memories/import": [(LINES, False)],
        f"PATCH {lar}/memories/{{item}}": [({"text": "changed"}, False)],
    }


async def view(stage: KnowledgeStage, holdings: Holdings) -> dict[str, Any]:
    """Return everything that a tenant sees of its own."""
    ids = holdings.ids
    paths = [
        "/v1/files",
        f"/v1/files/{ids['file_id']}/content",
        "/v1/vector_stores?limit=100",
        f"/v1/vector_stores/{ids['vector_store_id']}/files",
        f"/v1/vector_stores/{ids['vector_store_id']}/files/{ids['file_id']}/content",
        f"/v1/vector_stores/{ids['vector_store_id']}/file_batches/{ids['batch_id']}",
        f"/api/collections/{ids['name']}/entries",
        f"/api/collections/{ids['name']}/entries/{ids['entry']}",
        f"/api/recall/documents/{ids['document']}",
        "/api/recall/jobs",
        "/api/recall/sources",
        "/api/recall/memories/export",
    ]
    seen: dict[str, Any] = {}
    for path in paths:
        status, answer = await stage.ask("GET", path, headers=holdings.key)
        assert status == 200, path
        seen[path] = answer
    return seen
