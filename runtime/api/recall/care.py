"""/api/recall/doctor and /api/recall/snapshots: looking after the whole store, for operators."""

import msgspec
from aiohttp import web

from runtime.api.bodies import read_body
from runtime.api.errors import Refusal, Refused
from runtime.api.query import QueryString
from runtime.api.reach import Entry, json_answer, recall_of
from runtime.core.recall import Care


class RepairBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What operators send to have the store repaired."""

    repair: bool = False


async def post_doctor(request: web.Request) -> web.Response:
    """Read everything and tell what is wrong; with `repair`, mend what is derived.

    Takes as long as reading the whole store does.
    """
    care = _care_of(request)
    body = await read_body(request, RepairBody) if request.can_read_body else RepairBody()
    findings = await care.check(is_repairing=body.repair)
    is_well = all(each.is_repaired or each.severity == "waste" for each in findings)
    return json_answer({"is_well": is_well, "findings": findings})


async def get_snapshots(request: web.Request) -> web.Response:
    """List the copies on disk, the newest first."""
    QueryString(request)
    return json_answer({"snapshots": await _care_of(request).snapshots()})


async def post_snapshot(request: web.Request) -> web.Response:
    """Copy the database as of this moment; the oldest copies go."""
    return json_answer(await _care_of(request).take_snapshot(), status=201)


def _care_of(request: web.Request) -> Care:
    care = recall_of(request).care
    if care is None:
        message = "The store cannot be looked after through this server. Stop it and use 'lar recall doctor'."
        raise Refused(Refusal(status=501, type="server_error", code="unsupported", message=message))
    return care


ROUTES: tuple[Entry, ...] = (
    ("POST", "/api/recall/doctor", "operate", post_doctor),
    ("GET", "/api/recall/snapshots", "operate", get_snapshots),
    ("POST", "/api/recall/snapshots", "operate", post_snapshot),
)
