"""/api/prompts: templates that requests to /v1/responses name (`prompt`), with their versions."""

from typing import Any

import msgspec
from aiohttp import web

from runtime.api.bodies import read_body
from runtime.api.errors import Refusal, Refused, invalid
from runtime.api.prompt_book import Prompt, PromptBook, PromptId, PromptVersion, VersionName
from runtime.api.query import QueryString
from runtime.api.reach import Entry, json_answer, tenant_of
from runtime.core.minting import new_id

ROUTE = "/api/prompts"
PROMPTS = web.AppKey("prompts", PromptBook)


class NewPrompt(PromptVersion, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What clients send to make one."""

    id: PromptId | None = None
    """None: one is made."""


class Choice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which version is meant from now on."""

    version: VersionName


async def get_prompts(request: web.Request) -> web.Response:
    """List the templates."""
    QueryString(request)
    return json_answer({"prompts": await prompts_of(request).list_prompts(tenant_of(request))})


async def post_prompt(request: web.Request) -> web.Response:
    """Make a template."""
    body = await read_body(request, NewPrompt)
    said = _said(body)
    prompt = body.id or new_id("pmpt_")
    return json_answer(await prompts_of(request).create(tenant_of(request), prompt, said), status=201)


async def get_prompt(request: web.Request) -> web.Response:
    """Show a template."""
    return json_answer(await prompts_of(request).show(tenant_of(request), _id(request)))


async def put_prompt(request: web.Request) -> web.Response:
    """Let a template say something else from now on; its former versions stay."""
    said = _said(await read_body(request, PromptVersion))
    return json_answer(await prompts_of(request).add_version(tenant_of(request), _id(request), said))


async def post_version(request: web.Request) -> web.Response:
    """Let another version be the one that is meant where none is named."""
    body = await read_body(request, Choice)
    changed: Prompt = await prompts_of(request).choose(tenant_of(request), _id(request), body.version)
    return json_answer(changed)


async def delete_prompt(request: web.Request) -> web.Response:
    """Forget a template with all its versions."""
    await prompts_of(request).remove(tenant_of(request), _id(request))
    return web.Response(status=204)


def prompts_of(request: web.Request) -> PromptBook:
    """Return the templates. Raises Refused where the server was started without them."""
    book = request.app.get(PROMPTS)
    if book is None:
        message = "This server keeps no prompts."
        raise Refused(Refusal(status=503, type="server_error", code="prompts_off", message=message))
    return book


def _said(body: PromptVersion) -> PromptVersion:
    """Return what a template is to say. Raises Refused where that is nothing."""
    fields: dict[str, Any] = {name: getattr(body, name) for name in PromptVersion.__struct_fields__}
    if not body.text and not body.messages:
        raise invalid("A prompt needs 'text' or 'messages'.", "text", code="missing_required_parameter")
    for place, message in enumerate(body.messages):
        if not isinstance(message.get("role"), str) or "content" not in message:
            raise invalid(f"'messages[{place}]' needs 'role' and 'content'.", f"messages[{place}]")
    return PromptVersion(**fields)


def _id(request: web.Request) -> str:
    return request.match_info["prompt_id"]


_ONE = f"{ROUTE}/{{prompt_id}}"

ROUTES: tuple[Entry, ...] = (
    ("GET", ROUTE, "infer", get_prompts),
    ("POST", ROUTE, "operate", post_prompt),
    ("GET", _ONE, "infer", get_prompt),
    ("PUT", _ONE, "operate", put_prompt),
    ("POST", f"{_ONE}/version", "operate", post_version),
    ("DELETE", _ONE, "operate", delete_prompt),
)
