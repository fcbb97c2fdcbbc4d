"""/api/store/doctor and /api/store/snapshots: looking after the server's own database, for operators."""

import msgspec
from aiohttp import web

from runtime.api.agents.reach import agents_of
from runtime.api.bodies import read_body
from runtime.api.errors import Refusal, Refused
from runtime.api.query import QueryString
from runtime.api.reach import Entry, json_answer
from runtime.core.recall import Care


class RepairBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What operators send to have the database repaired."""

    repair: bool = False


async def post_doctor(request: web.Request) -> web.Response:
    """Read everything and tell what is wrong; with `repair`, mend what is derived.

    Takes as long as reading all runs and facts does.
    """
    care = _care_of(request)
    body = await read_body(request, RepairBody) if request.can_read_body else RepairBody()
    findings = await care.check(is_repairing=body.repair)
    return json_answer({"is_well": all(each.is_repaired for each in findings), "findings": findings})


async def get_snapshots(request: web.Request) -> web.Response:
    """List the copies on disk, the newest first."""
    QueryString(request)
    return json_answer({"snapshots": await _care_of(request).snapshots()})


async def post_snapshot(request: web.Request) -> web.Response:
    """Copy the database as of this moment; the oldest copies go."""
    return json_answer(await _care_of(request).take_snapshot(), status=201)


def _care_of(request: web.Request) -> Care:
    care = agents_of(request).care
    if care is None:
        message = "The database cannot be looked after through this server. Stop it and use 'lar doctor'."
        raise Refused(Refusal(status=501, type="server_error", code="unsupported", message=message))
    return care


CARE_ROUTES: tuple[Entry, ...] = (
    ("POST", "/api/store/doctor", "operate", post_doctor),
    ("GET", "/api/store/snapshots", "operate", get_snapshots),
    ("POST", "/api/store/snapshots", "operate", post_snapshot),
)
