"""The tools of a request that Lar carries out itself: looked up, checked, and made tools of its run.

mcp ─ servers (`hosting_servers`) · file_search ─ collections · web_search ─ the configured engine ·
code_interpreter ─ a sandbox on this machine · image_generation ─ refused: no engine here makes pictures
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from runtime.api.errors import forbidden, invalid, not_found, unsupported
from runtime.api.filters import filter_of
from runtime.api.responses.hosting_servers import RequestServers
from runtime.api.responses.parts import Hosted
from runtime.api.responses.tool_bodies import (
    AutoContainer,
    CodeBody,
    FileSearchBody,
    HybridSearch,
    McpBody,
    WebSearchBody,
)
from runtime.api.responses.tools_in import HostedWish
from runtime.core.agents.builtins import SEARCH_TOOLS
from runtime.core.agents.hosted.code_interpreter import Sandboxes
from runtime.core.agents.hosted.web_search import no_engine
from runtime.core.agents.hosted.words import code_tool, file_search_tool, web_search_tool
from runtime.core.agents.items import AnyItem
from runtime.core.agents.plans import PlannedTool
from runtime.core.errors import NotFound, PolicyDenied
from runtime.core.gate.principals import Principal
from runtime.core.gate.words import Gate
from runtime.core.guarding.knowing import KnowledgePass
from runtime.core.guarding.recall import guard
from runtime.core.ids import CollectionId, FileId
from runtime.core.recall import Recall
from runtime.core.tools import Caller

_PASSAGES = 10
"""Where a request does not say how many; each is a part of the model's context."""
_PAGES = {"low": 4, "medium": 8, "high": 16}
_IDS_SHOWN = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class HostingParts:
    """What the tools of requests work with."""

    servers: RequestServers
    gate: Gate
    recall: Recall
    searches_web: bool
    sandboxes: Sandboxes


class RequestTools:
    """Fulfils `Hosting`."""

    def __init__(self, parts: HostingParts) -> None:
        self._parts = parts

    async def resolve(
        self,
        principal: Principal,
        wishes: Sequence[HostedWish],
        context: Sequence[AnyItem],
        taken: Collection[str] = (),
    ) -> Hosted:
        """Return what the wishes come to; `taken` are names of other tools. Raises LarError, Refused."""
        resolved: dict[int, Sequence[PlannedTool]] = {}
        for wish in wishes:
            if not isinstance(wish.body, McpBody):
                resolved[wish.place] = [await self._own(principal, wish)]
        if len(resolved) == len(wishes):
            return Hosted(resolved=resolved)

        names = [*taken, *(each.name for tools in resolved.values() for each in tools)]
        offered = await self._parts.servers.offer(principal, wishes, context, names)
        resolved |= offered.resolved
        if any(each.is_deferred for tools in offered.resolved.values() for each in tools):
            last = max(offered.resolved)
            if SEARCH_TOOLS.name not in names:
                resolved[last] = [*resolved[last], SEARCH_TOOLS]
        return Hosted(resolved=resolved, added=offered.added, lease=offered.lease, failed=offered.failed)

    async def _own(self, principal: Principal, wish: HostedWish) -> PlannedTool:
        match wish.body:
            case FileSearchBody():
                return await self._file_search(principal, wish.body, wish.path)
            case WebSearchBody():
                return self._web_search(wish.body, wish.path)
            case CodeBody():
                return await self._code(principal, wish.body, wish.path)
            case _:
                message = "This server has no engine that makes pictures. Leave the tool out."
                raise unsupported(message, f"{wish.path}.type")

    async def _file_search(self, principal: Principal, body: FileSearchBody, path: str) -> PlannedTool:
        names = [
            await self._collection(principal, each, f"{path}.vector_store_ids[{place}]")
            for place, each in enumerate(body.vector_store_ids)
        ]
        ranking = body.ranking_options
        settings: dict[str, Any] = {
            "collections": list(body.vector_store_ids),
            "limit": body.max_num_results or _PASSAGES,
        }
        if body.filters is not None:
            settings["filters"] = msgspec.to_builtins(filter_of(body.filters, f"{path}.filters"))
        if ranking is not None and ranking.score_threshold is not None:
            settings["threshold"] = ranking.score_threshold
        if ranking is not None and ranking.ranker is not None:
            settings["rerank"] = "none" if ranking.ranker == "none" else "auto"
        if ranking is not None and ranking.hybrid_search is not None:
            settings["vector_weight"] = _weight_of(
                ranking.hybrid_search, f"{path}.ranking_options.hybrid_search"
            )
        return file_search_tool(f"Search these files and get passages to cite: {', '.join(names)}.", settings)

    async def _collection(self, principal: Principal, store: str, path: str) -> str:
        """Return a collection's name. Raises Refused where it is not there, or may not be read."""
        try:
            found = await self._parts.recall.collections.find(principal.tenant, CollectionId(store))
        except NotFound:
            message = f"Vector store with id '{store[:_IDS_SHOWN]}' not found."
            raise not_found(message, "not_found", path) from None

        knowledge = KnowledgePass(self._parts.gate, _caller(principal))
        try:
            await knowledge.enter("recall_read", found)
        except PolicyDenied as denied:
            raise forbidden(f"'{found.name}' may not be read: {denied.fault.message}", "denied") from denied
        return found.name

    def _web_search(self, body: WebSearchBody, path: str) -> PlannedTool:
        if not self._parts.searches_web:
            raise unsupported(no_engine(), f"{path}.type")
        domains = (body.filters.allowed_domains if body.filters is not None else None) or ()
        return web_search_tool(domains, _PAGES[body.search_context_size or "medium"])

    async def _code(self, principal: Principal, body: CodeBody, path: str) -> PlannedTool:
        reason = await self._parts.sandboxes.missing()
        if reason:
            raise unsupported(f"This server cannot run programs: {reason}.", f"{path}.type")

        container, named, memory = _container_of(body.container, path)
        own = guard(self._parts.recall, self._parts.gate, _caller(principal)).files
        files: dict[str, Path] = {}
        for place, each in enumerate(named):
            try:
                stored = await own.find(principal.tenant, each)
                files[_free_name(stored.name, files)] = await own.path(principal.tenant, each)
            except NotFound:
                message = f"File with id '{each[:_IDS_SHOWN]}' not found."
                raise not_found(message, "not_found", f"{path}.container.file_ids[{place}]") from None
        try:
            opened = await self._parts.sandboxes.open(principal.tenant, container, files, memory)
        except NotFound as problem:
            raise not_found(problem.fault.message, "not_found", f"{path}.container") from None
        return code_tool({"container": opened})


def _caller(principal: Principal) -> Caller:
    return Caller(principal=principal, door="api")


def _free_name(name: str, taken: Collection[str]) -> str:
    """Return a file's name in the container; where there is such a one already, with a number."""
    plain = PurePosixPath(name.replace("\\", "/").replace("\0", "")).name
    plain = "file" if plain in ("", "..") else plain
    path, number, free = PurePosixPath(plain), 1, plain
    while free in taken:
        number += 1
        free = f"{path.stem}-{number}{path.suffix}"
    return free


def _container_of(container: str | AutoContainer, path: str) -> tuple[str | None, list[FileId], int | None]:
    if isinstance(container, str):
        return container, [], None

    policy = container.network_policy
    if policy is not None and policy.get("type") != "disabled":
        message = "Programs have no network here. Leave 'network_policy' out, or set it to disabled."
        raise unsupported(message, f"{path}.container.network_policy")
    memory = None if container.memory_limit is None else int(container.memory_limit[:-1]) * 1024**3
    return None, [FileId(each) for each in container.file_ids or ()], memory


def _weight_of(hybrid: HybridSearch, path: str) -> float:
    """Return what share of the order the meaning has."""
    total = hybrid.embedding_weight + hybrid.text_weight
    if total <= 0:
        message = f"One of the weights in '{path}' must be greater than 0."
        raise invalid(message, path)
    return hybrid.embedding_weight / total
