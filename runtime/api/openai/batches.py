"""/v1/batches: many requests in a file, carried out when nothing else wants the machine.

The routes only take batches and show them; `batch_service` carries them out.
"""

import msgspec
from aiohttp import web

from runtime.api.agents.reach import agents_of
from runtime.api.bodies import read_body
from runtime.api.deps import DEPS, PRINCIPAL
from runtime.api.errors import Refusal, Refused, invalid, not_found
from runtime.api.openai.batch_input import FILE_LIMIT_BYTES
from runtime.api.openai.batch_service import BatchService
from runtime.api.openai.batch_words import KIND, PREFIX, WINDOW_S, BatchBody, BatchState, wire_batch
from runtime.api.openai.files import find_file
from runtime.api.openai.paging import DEFAULT_LIMIT, MAX_LIMIT, page_of
from runtime.api.query import QueryString
from runtime.api.reach import Entry, json_answer, recall_of, tenant_of
from runtime.core.errors import NotFound
from runtime.core.minting import new_id

ROUTE = "/v1/batches"
BATCHES = web.AppKey("batches", BatchService)


async def post_batch(request: web.Request) -> web.Response:
    """Take a batch. Whether its file is sound is found out afterwards, and shown in the batch."""
    body = await read_body(request, BatchBody)
    tenant = tenant_of(request)
    file = await find_file(recall_of(request).files, tenant, body.input_file_id, "input_file_id")
    if file.purpose != "batch":
        message = f"The file '{file.id}' has the purpose '{file.purpose}'. A batch takes the purpose 'batch'."
        raise invalid(message, "input_file_id", code="invalid_purpose")
    if file.size_bytes > FILE_LIMIT_BYTES:
        message = f"The file '{file.id}' is larger than {FILE_LIMIT_BYTES} bytes. Send it in several batches."
        raise invalid(message, "input_file_id", code="file_too_large")

    now = request.app[DEPS].clock.now()
    expiry = body.output_expires_after
    state = BatchState(
        id=new_id(PREFIX),
        principal=request[PRINCIPAL],
        endpoint=body.endpoint,
        input_file_id=file.id,
        created_at=now,
        expires_at=now + WINDOW_S,
        metadata=body.metadata,
        output_expires_s=None if expiry is None else float(expiry.seconds),
    )
    return json_answer(wire_batch(await batches_of(request).add(tenant, state)))


async def get_batches(request: web.Request) -> web.Response:
    """List batches, the newest first."""
    query = QueryString(request, "after", "limit")
    limit = query.number("limit", DEFAULT_LIMIT, lowest=1, highest=MAX_LIMIT)
    service = batches_of(request)
    rows = await agents_of(request).records.list_records(
        tenant_of(request), KIND, after=query.text("after"), limit=limit + 1, is_newest_first=True
    )
    found = [wire_batch(service.as_it_is(msgspec.json.decode(body, type=BatchState))) for _, _, body in rows]
    return json_answer(page_of(found[:limit], lambda each: str(each["id"]), has_more=len(found) > limit))


async def get_batch(request: web.Request) -> web.Response:
    """Show a batch as it is now."""
    try:
        return json_answer(wire_batch(await batches_of(request).find(tenant_of(request), _id(request))))
    except NotFound:
        raise _unknown(request) from None


async def post_cancel(request: web.Request) -> web.Response:
    """Begin to end a batch."""
    try:
        return json_answer(wire_batch(await batches_of(request).cancel(tenant_of(request), _id(request))))
    except NotFound:
        raise _unknown(request) from None


def batches_of(request: web.Request) -> BatchService:
    """Return the batches. Raises Refused where the server was started without them."""
    service = request.app.get(BATCHES)
    if service is None:
        message = "This server was started without batches."
        raise Refused(Refusal(status=503, type="server_error", code="batches_off", message=message))
    return service


def _id(request: web.Request) -> str:
    return request.match_info["batch_id"]


def _unknown(request: web.Request) -> Refused:
    return not_found(f"No batch found with id '{_id(request)[:80]}'.", "not_found")


ROUTES: tuple[Entry, ...] = (
    ("POST", ROUTE, "infer", post_batch),
    ("GET", ROUTE, "infer", get_batches),
    ("GET", f"{ROUTE}/{{batch_id}}", "infer", get_batch),
    ("POST", f"{ROUTE}/{{batch_id}}/cancel", "infer", post_cancel),
)
