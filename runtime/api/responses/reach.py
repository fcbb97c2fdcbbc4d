"""How the routes of responses find a response: by its id, within the tenant of whoever asks."""

from typing import NamedTuple, get_args

from aiohttp import web

from runtime.api.agents.reach import agents_of
from runtime.api.query import QueryString
from runtime.api.reach import tenant_of
from runtime.api.responses.body import Include
from runtime.api.responses.errors import response_not_found
from runtime.api.responses.items_out import ItemWords
from runtime.api.responses.object import run_id
from runtime.api.responses.parts import parts_of
from runtime.core.agents.fold import fold, record_of
from runtime.core.agents.ports import AgentRuns
from runtime.core.agents.steps import AnyStep, RunRecord
from runtime.core.errors import NotFound
from runtime.core.ids import RunId

INCLUDES: tuple[Include, ...] = get_args(Include)
INCLUDE_NAMES = ("include", "include[]")
"""Clients write a list with brackets."""


class Found(NamedTuple):
    """A response that exists."""

    record: RunRecord
    steps: list[AnyStep]


def runs_of(request: web.Request) -> AgentRuns:
    """Return the runs. Raises Refused where the server was started without agents."""
    return agents_of(request).runs


def words_of(request: web.Request, include: tuple[str, ...] = ()) -> ItemWords:
    """Return how items are shown to whoever asks."""
    return ItemWords(tenant_of(request), parts_of(request).sealer, include)


def include_of(query: QueryString) -> tuple[str, ...]:
    """Return what is to be shown beside the usual. Raises Refused."""
    return tuple(each for name in INCLUDE_NAMES for each in query.some_of(name, INCLUDES))


def named_run(request: web.Request) -> RunId:
    """Return the run that the path names. Raises Refused (404) where it is no id of a response."""
    response = request.match_info["id"]
    run = run_id(response)
    if run is None:
        raise response_not_found(response)
    return run


async def find_record(request: web.Request) -> RunRecord:
    """Return the record of the response that the path names. Raises Refused (404)."""
    run = named_run(request)
    try:
        return await runs_of(request).find(tenant_of(request), run)
    except NotFound:
        raise response_not_found(request.match_info["id"]) from None


async def find_response(request: web.Request) -> Found:
    """Return the response that the path names. Raises Refused (404)."""
    run = named_run(request)
    runs, tenant = runs_of(request), tenant_of(request)
    try:
        record = await runs.find(tenant, run)
        steps = await runs.steps(tenant, run)
    except NotFound:
        raise response_not_found(request.match_info["id"]) from None
    # The run may have gone on between the two: the record is made to fit.
    return Found(record_of(fold(steps), record), steps)
