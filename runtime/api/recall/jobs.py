"""/api/recall/jobs: work that goes on behind the scenes, and a way to wait for it."""

from aiohttp import web

from runtime.api.query import QueryString
from runtime.api.reach import Entry, json_answer, recall_of, tenant_of
from runtime.core.ids import JobId

WAIT_LIMIT_S = 60
"""The longest wait of one request; proxies and clients give up not much later."""
LIST_LIMIT = 1000


async def get_jobs(request: web.Request) -> web.Response:
    """List jobs, the newest first."""
    limit = QueryString(request, "limit").number("limit", 100, lowest=1, highest=LIST_LIMIT)
    return json_answer({"jobs": await recall_of(request).jobs.list_all(tenant_of(request), limit=limit)})


async def get_job(request: web.Request) -> web.Response:
    """Tell how far a job is; with `wait_s`, once it has ended or that long from now."""
    wait_s = QueryString(request, "wait_s").number("wait_s", 0, lowest=0, highest=WAIT_LIMIT_S)
    jobs, tenant = recall_of(request).jobs, tenant_of(request)
    job = await jobs.wait(tenant, _job(request), wait_s) if wait_s else await jobs.find(tenant, _job(request))
    return json_answer(job)


async def post_cancel(request: web.Request) -> web.Response:
    """End a job; what it has stored stays."""
    return json_answer(await recall_of(request).jobs.cancel(tenant_of(request), _job(request)))


async def post_retry(request: web.Request) -> web.Response:
    """Begin a job over what failed in this one."""
    job = await recall_of(request).jobs.retry(tenant_of(request), _job(request))
    return json_answer(job, status=202)


def _job(request: web.Request) -> JobId:
    return JobId(request.match_info["job"])


ROUTES: tuple[Entry, ...] = (
    ("GET", "/api/recall/jobs", "infer", get_jobs),
    ("GET", "/api/recall/jobs/{job}", "infer", get_job),
    ("POST", "/api/recall/jobs/{job}/cancel", "infer", post_cancel),
    ("POST", "/api/recall/jobs/{job}/retry", "infer", post_retry),
)
