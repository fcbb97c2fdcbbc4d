"""/api/approvals: the questions to people, and their answers. Answering twice alike changes nothing."""

from typing import Annotated, get_args

import msgspec
from aiohttp import web

from runtime.api.bodies import read_body
from runtime.api.deps import PRINCIPAL
from runtime.api.errors import invalid
from runtime.api.gate.policies import gate_of
from runtime.api.reach import Entry, json_answer, tenant_of
from runtime.core.gate.words import Answer, ApprovalStatus
from runtime.core.ids import ApprovalId

_STATUSES: tuple[ApprovalStatus, ...] = get_args(ApprovalStatus)


class AnswerBody(Answer, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person says."""

    note: Annotated[str, msgspec.Meta(max_length=1000)] = ""


async def get_approvals(request: web.Request) -> web.Response:
    """List the questions, the newest first; `status` narrows them."""
    asked = request.query.get("status")
    status = next((each for each in _STATUSES if each == asked), None)
    if asked is not None and status is None:
        raise invalid(f"'status' must be one of {', '.join(_STATUSES)}.", "status")

    found = gate_of(request).approvals.list_approvals(tenant_of(request), status)
    return json_answer({"approvals": found})


async def get_approval(request: web.Request) -> web.Response:
    """Show one question."""
    return json_answer(gate_of(request).approvals.find(tenant_of(request), _id_of(request)))


async def post_answer(request: web.Request) -> web.Response:
    """Answer a question; 409 where it was answered otherwise, or is over."""
    body = await read_body(request, AnswerBody)
    approvals = gate_of(request).approvals
    by = request[PRINCIPAL].id
    return json_answer(await approvals.answer(tenant_of(request), _id_of(request), body, by))


async def post_cancel(request: web.Request) -> web.Response:
    """Take a question back; one that is over stays as it is."""
    return json_answer(await gate_of(request).approvals.cancel(tenant_of(request), _id_of(request)))


def _id_of(request: web.Request) -> ApprovalId:
    return ApprovalId(request.match_info["approval"])


ROUTES: tuple[Entry, ...] = (
    ("GET", "/api/approvals", "observe", get_approvals),
    ("GET", "/api/approvals/{approval}", "observe", get_approval),
    ("POST", "/api/approvals/{approval}/answer", "operate", post_answer),
    ("POST", "/api/approvals/{approval}/cancel", "operate", post_cancel),
)
