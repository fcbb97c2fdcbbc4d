"""The one table of routes. A route enters the server only from here, and so only with a permission."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aiohttp import web

from runtime.api.agents.care import CARE_ROUTES
from runtime.api.agents.definitions import DEFINITION_ROUTES
from runtime.api.agents.hooks import HOOK_ROUTES
from runtime.api.agents.runs import RUN_ROUTES
from runtime.api.anthropic.messages import COUNT_ROUTE, post_count_tokens, post_messages
from runtime.api.anthropic.messages import ROUTE as MESSAGES
from runtime.api.events import get_events
from runtime.api.gate import approvals, policies
from runtime.api.health import get_health, get_metrics, get_ready, get_version
from runtime.api.knowledge_routes import KNOWLEDGE_ROUTES
from runtime.api.localagi.routes import ROUTES as LOCALAGI_ROUTES
from runtime.api.mcp_mount import MCP_ROUTES
from runtime.api.mcp_servers import SERVER_ROUTES
from runtime.api.ollama.about import get_root, refuse_change
from runtime.api.ollama.about import get_version as get_ollama_version
from runtime.api.ollama.chat import post_chat as post_ollama_chat
from runtime.api.ollama.chat import post_generate
from runtime.api.ollama.embed import post_embed
from runtime.api.ollama.embed import post_embeddings as post_ollama_embeddings
from runtime.api.ollama.models import get_ps, get_tags, post_show
from runtime.api.ollama.pull import post_pull
from runtime.api.openai import batches, conversations, stored_chats, webhooks
from runtime.api.openai.chat import ROUTE as CHAT
from runtime.api.openai.chat import post_chat
from runtime.api.openai.completions import ROUTE as COMPLETIONS
from runtime.api.openai.completions import post_completion
from runtime.api.openai.embeddings import ROUTE as EMBEDDINGS
from runtime.api.openai.embeddings import post_embeddings
from runtime.api.openai.models import get_model, get_models
from runtime.api.openai.rerank import ROUTE as RERANK
from runtime.api.openai.rerank import post_rerank
from runtime.api.operate import post_install, post_unload
from runtime.api.prompts import ROUTES as PROMPT_ROUTES
from runtime.api.responses.routes import ROUTES as RESPONSES_ROUTES
from runtime.api.state import get_state
from runtime.api.tokens import post_detokenize, post_tokenize
from runtime.core.gate.principals import Permission


class Route(NamedTuple):
    """One method on one path."""

    method: str
    path: str
    permission: Permission
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]


# Model ids may hold slashes (owner/name), hence the wide pattern.
ROUTES: tuple[Route, ...] = (
    Route("GET", "/healthz", "public", get_health),
    Route("HEAD", "/healthz", "public", get_health),
    Route("GET", "/readyz", "public", get_ready),
    Route("HEAD", "/readyz", "public", get_ready),
    Route("GET", "/version", "public", get_version),
    Route("GET", "/v1/models", "infer", get_models),
    Route("GET", "/v1/models/{id:.+}", "infer", get_model),
    Route("POST", CHAT, "infer", post_chat),
    Route("POST", COMPLETIONS, "infer", post_completion),
    Route("POST", "/v1/tokenize", "infer", post_tokenize),
    Route("POST", "/v1/detokenize", "infer", post_detokenize),
    Route("POST", EMBEDDINGS, "infer", post_embeddings),
    Route("POST", RERANK, "infer", post_rerank),
    Route("POST", MESSAGES, "infer", post_messages),
    Route("POST", COUNT_ROUTE, "infer", post_count_tokens),
    Route("GET", "/", "public", get_root),
    Route("HEAD", "/", "public", get_root),
    Route("GET", "/api/version", "public", get_ollama_version),
    Route("GET", "/api/tags", "infer", get_tags),
    Route("GET", "/api/ps", "infer", get_ps),
    Route("POST", "/api/show", "infer", post_show),
    Route("POST", "/api/chat", "infer", post_ollama_chat),
    Route("POST", "/api/generate", "infer", post_generate),
    Route("POST", "/api/embed", "infer", post_embed),
    Route("POST", "/api/embeddings", "infer", post_ollama_embeddings),
    Route("POST", "/api/pull", "operate", post_pull),
    Route("POST", "/api/push", "operate", refuse_change),
    Route("POST", "/api/create", "operate", refuse_change),
    Route("POST", "/api/copy", "operate", refuse_change),
    Route("DELETE", "/api/delete", "operate", refuse_change),
    Route("HEAD", "/api/blobs/{digest}", "operate", refuse_change),
    Route("POST", "/api/blobs/{digest}", "operate", refuse_change),
    *(Route(*entry) for entry in RESPONSES_ROUTES),
    *(Route(*entry) for entry in (*conversations.ROUTES, *batches.ROUTES, *stored_chats.ROUTES)),
    *(Route(*entry) for entry in (*webhooks.ROUTES, *PROMPT_ROUTES, *HOOK_ROUTES, *LOCALAGI_ROUTES)),
    *(Route(*entry) for entry in KNOWLEDGE_ROUTES),
    *(Route(*entry) for entry in MCP_ROUTES),
    *(Route(*entry) for entry in SERVER_ROUTES),
    *(Route(*entry) for entry in (*DEFINITION_ROUTES, *RUN_ROUTES, *CARE_ROUTES)),
    *(Route(*entry) for entry in (*policies.ROUTES, *approvals.ROUTES)),
    Route("GET", "/metrics", "observe", get_metrics),
    Route("GET", "/api/events", "observe", get_events),
    Route("GET", "/api/state", "observe", get_state),
    Route("POST", "/api/models/{id:.+}/install", "operate", post_install),
    Route("POST", "/api/models/{id:.+}/unload", "operate", post_unload),
)


def add_routes(app: web.Application) -> dict[web.AbstractRoute, Permission]:
    """Put the table into the application; return which permission each route needs."""
    return {
        app.router.add_route(each.method, each.path, each.handler, expect_handler=_expect): each.permission
        for each in ROUTES
    }


async def _expect(request: web.Request) -> None:
    """Refuse expectations that we do not know. A body is invited later, once the gate let its sender in."""
    if request.headers.get("Expect", "").lower() != "100-continue":
        raise web.HTTPExpectationFailed
