"""What stands outside of a request and may be named by it: files, links, earlier items, seals."""

from collections.abc import Sequence

from runtime.api.deps import ApiDeps, gate_of
from runtime.api.responses.files_in import InputFiles
from runtime.api.responses.items_in import Outside
from runtime.api.responses.links_in import follow_links
from runtime.api.responses.parts import ResponseParts
from runtime.api.responses.stored import StoredRunItems
from runtime.core.agents.items import AnyItem
from runtime.core.agents.parts import AgentParts
from runtime.core.gate.principals import Principal
from runtime.core.guarding.recall import guard
from runtime.core.tools import Caller


def outside_of(
    deps: ApiDeps,
    parts: ResponseParts,
    agents: AgentParts,
    principal: Principal,
    before: Sequence[AnyItem] = (),
) -> Outside:
    """Return what a request of a principal may name; `before` are the items that stand before its own."""
    files, fetch, gate = None, None, gate_of(deps)
    if deps.recall is not None:
        files = guard(deps.recall, gate, Caller(principal=principal, door="api")).files
    if parts.fetcher is not None:
        fetch = follow_links(parts.fetcher, gate, principal)
    return Outside(
        tenant=principal.tenant,
        files=InputFiles(files, principal.tenant, parts.read_text, fetch),
        stored=StoredRunItems(agents.runs, parts.places, before),
        sealer=parts.sealer,
    )
