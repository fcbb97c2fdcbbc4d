"""Runs of agents: started, followed, steered, stopped, replayed and forked.

A run that is followed comes as server-sent events, one for each happening, with the happening's number as its
id: a reader that was cut off goes on with `?after=` or Last-Event-ID and misses nothing of a background run.
"""

from typing import Annotated, Any

import msgspec
from aiohttp import web

from runtime.api.agents.definitions import AGENTS
from runtime.api.agents.reach import agents_of
from runtime.api.bodies import read_body
from runtime.api.deps import PRINCIPAL
from runtime.api.errors import invalid
from runtime.api.reach import Entry, json_answer, tenant_of
from runtime.api.sse import SseStream
from runtime.api.stream import ReaderGone
from runtime.core.agents.definition import Agent
from runtime.core.agents.instructions import check_templates
from runtime.core.agents.items import AnyItem, Said, Text
from runtime.core.agents.ports import RunFollower, RunQuery
from runtime.core.agents.reading import agent_of
from runtime.core.agents.starting import Wish
from runtime.core.agents.steps import RunStatus
from runtime.core.ids import RunId
from runtime.core.minting import new_id

RUNS = "/api/runs"
_WAIT_LIMIT_S = 600.0
_STATUSES = ("queued", "in_progress", "waiting", "completed", "incomplete", "failed", "cancelled")
_PAGE_LIMIT = 500

_Input = Annotated[str, msgspec.Meta(min_length=1)]


class NewRunBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an agent is asked."""

    input: _Input
    session: str | None = None
    """A conversation that it continues."""
    variables: dict[str, str] = {}
    stream: bool = False
    background: bool = True
    """Whether it goes on when nobody follows it."""
    wait_s: Annotated[float, msgspec.Meta(ge=0, le=_WAIT_LIMIT_S)] = 0.0
    """Without `stream`: how long to wait for its end before the answer comes."""


class OnceBody(NewRunBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A definition that is run once and not kept."""

    definition: dict[str, Any]


class SteerBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is added to what was asked."""

    input: _Input


class CancelBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why it is to stop."""

    reason: Annotated[str, msgspec.Meta(max_length=500)] = "asked"


class ForkBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a run is to go another way."""

    after_step: Annotated[int, msgspec.Meta(ge=0)]
    """Steps that are taken over, from the first."""
    input: str | None = None
    """What is said then; None: nothing, the model is asked again."""


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A page of runs."""

    runs: list[Any]
    has_more: bool


async def post_run(request: web.Request) -> web.StreamResponse:
    """Start a run of an agent."""
    body = await read_body(request, NewRunBody)
    return await _start(request, body, request.match_info["name"], None)


async def post_once(request: web.Request) -> web.StreamResponse:
    """Run a definition that comes with the request, and do not keep it."""
    body = await read_body(request, OnceBody)
    agent = agent_of(body.definition, "definition")
    check_templates(agent)
    return await _start(request, body, agent.name, agent)


async def _start(
    request: web.Request, body: NewRunBody, name: str, definition: Agent | None
) -> web.StreamResponse:
    parts = agents_of(request)
    if body.session is not None:
        await parts.sessions.find(tenant_of(request), body.session)
    follower = await parts.starter.start(
        Wish(
            agent=name,
            definition=definition,
            principal=request[PRINCIPAL],
            input=(_said(body.input),),
            door="api",
            session=body.session,
            variables=body.variables,
            is_background=body.background or not body.stream,
        )
    )
    if body.stream:
        return await _follow(request, follower)

    follower.aclose()
    record = await parts.runs.wait(tenant_of(request), follower.run, body.wait_s)
    return json_answer(record, status=200 if body.wait_s else 202)


async def get_runs(request: web.Request) -> web.Response:
    """List runs, the newest first; of one agent where the path names it."""
    query = request.query
    status = query.get("status")
    if status is not None and status not in _STATUSES:
        raise invalid(f"'status' must be one of {', '.join(_STATUSES)}.", "status")
    limit = _limit(query.get("limit"))
    statuses: tuple[RunStatus, ...] = (status,) if status is not None else ()  # type: ignore[assignment]  # one of them, as just checked
    found = await agents_of(request).runs.list_runs(
        tenant_of(request),
        RunQuery(
            agent=request.match_info.get("name") or query.get("agent"),
            session=query.get("session"),
            parent=RunId(query["parent"]) if "parent" in query else None,
            statuses=statuses,
            after=RunId(query["after"]) if "after" in query else None,
            limit=limit + 1,
            is_newest_first=query.get("order", "desc") != "asc",
        ),
    )
    return json_answer(Listed(runs=found[:limit], has_more=len(found) > limit))


async def get_run(request: web.Request) -> web.Response:
    """Show a run as it is now; `wait_s` waits for its end."""
    wait_s = _seconds(request.query.get("wait_s"))
    runs = agents_of(request).runs
    if wait_s:
        return json_answer(await runs.wait(tenant_of(request), _run(request), wait_s))
    return json_answer(await runs.find(tenant_of(request), _run(request)))


async def get_steps(request: web.Request) -> web.Response:
    """Show the steps of a run, with everything that was said and done; `from` leaves out so many."""
    told = request.query.get("from", "0")
    if not (told.isascii() and told.isdecimal() and len(told) < 10):
        raise invalid("'from' must be a number of steps, an integer from 0.", "from")
    steps = await agents_of(request).runs.steps(tenant_of(request), _run(request))
    return json_answer({"steps": steps[int(told) :]})


async def get_stream(request: web.Request) -> web.StreamResponse:
    """Follow a run: what has happened, then what happens."""
    told = request.headers.get("Last-Event-ID") or request.query.get("after")
    if told is not None and not (told.isascii() and told.isdecimal() and len(told) < 16):
        raise invalid("'after' must be the number of a happening, an integer from 0.", "after")
    first = 0 if told is None else int(told) + 1
    return await _follow(
        request, await agents_of(request).runs.follow(tenant_of(request), _run(request), first)
    )


async def post_steer(request: web.Request) -> web.Response:
    """Add to what was asked; it is heard before the next turn."""
    body = await read_body(request, SteerBody)
    runs = agents_of(request).runs
    await runs.steer(tenant_of(request), _run(request), (_said(body.input),))
    return json_answer(await runs.find(tenant_of(request), _run(request)), status=202)


async def post_cancel(request: web.Request) -> web.Response:
    """Stop a run; one that is over stays as it is."""
    body = await read_body(request, CancelBody) if request.can_read_body else CancelBody()
    return json_answer(await agents_of(request).runs.cancel(tenant_of(request), _run(request), body.reason))


async def post_fork(request: web.Request) -> web.Response:
    """Begin a run that takes over the first steps of this one and goes on differently."""
    body = await read_body(request, ForkBody)
    edits: tuple[AnyItem, ...] = () if body.input is None else (_said(body.input),)
    record = await agents_of(request).runs.fork(
        tenant_of(request), _run(request), body.after_step, edits, request[PRINCIPAL]
    )
    return json_answer(record, status=201)


async def post_replay(request: web.Request) -> web.Response:
    """Live a run again on what was recorded, and tell whether it comes to the same."""
    return json_answer(await agents_of(request).runs.replay(tenant_of(request), _run(request)))


async def delete_run(request: web.Request) -> web.Response:
    """Forget a run that is over."""
    await agents_of(request).runs.remove(tenant_of(request), _run(request))
    return web.Response(status=204)


async def _follow(request: web.Request, follower: RunFollower) -> web.StreamResponse:
    stream = SseStream(request)
    happenings = aiter(follower)
    try:
        await stream.open()
        while True:
            told = await stream.next_or_comment(lambda: anext(happenings, None))
            if told is None:
                break
            happening = told.happening
            data = msgspec.json.encode(happening)
            await stream.send(data, event=_kind(happening), seq=told.number)
    except ReaderGone:
        stream.end_connection()
    finally:
        follower.aclose()
    return stream.response


def _kind(happening: msgspec.Struct) -> str:
    return str(happening.__struct_config__.tag)


def _said(text: str) -> Said:
    return Said(id=new_id("msg_"), role="user", parts=(Text(text=text),))


def _run(request: web.Request) -> RunId:
    return RunId(request.match_info["run"])


def _limit(told: str | None) -> int:
    if told is None:
        return 50
    if not (told.isascii() and told.isdecimal()) or not 1 <= int(told[:9]) <= _PAGE_LIMIT:
        raise invalid(f"'limit' must be a number from 1 to {_PAGE_LIMIT}.", "limit")
    return int(told)


def _seconds(told: str | None) -> float:
    if told is None:
        return 0.0
    try:
        seconds = float(told)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _WAIT_LIMIT_S:
        raise invalid(f"'wait_s' must be a number of seconds from 0 to {_WAIT_LIMIT_S:g}.", "wait_s")
    return seconds


RUN_ROUTES: tuple[Entry, ...] = (
    ("POST", f"{AGENTS}/{{name}}/runs", "infer", post_run),
    ("GET", f"{AGENTS}/{{name}}/runs", "infer", get_runs),
    ("POST", RUNS, "operate", post_once),
    ("GET", RUNS, "infer", get_runs),
    ("GET", f"{RUNS}/{{run}}", "infer", get_run),
    ("GET", f"{RUNS}/{{run}}/steps", "infer", get_steps),
    ("GET", f"{RUNS}/{{run}}/stream", "infer", get_stream),
    ("POST", f"{RUNS}/{{run}}/steer", "infer", post_steer),
    ("POST", f"{RUNS}/{{run}}/cancel", "infer", post_cancel),
    ("POST", f"{RUNS}/{{run}}/fork", "infer", post_fork),
    ("POST", f"{RUNS}/{{run}}/replay", "infer", post_replay),
    ("DELETE", f"{RUNS}/{{run}}", "infer", delete_run),
)
