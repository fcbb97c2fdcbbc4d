"""Tools as they come over the wire: a struct for each type, and how they are shown again without secrets."""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from runtime.api.openai.body import GRAMMAR_LIMIT_CHARS
from runtime.api.openai.sampling import NotEmpty
from runtime.api.responses.body import Open

TOOLS_LIMIT = 128
REDACTED = "<redacted>"
WEB_SEARCHES = frozenset(
    {"web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11"}
)
ApprovalWord = Literal["always", "never"]


class AnyText(Open, frozen=True, kw_only=True, tag_field="type", tag="text"):
    """The input of a custom tool is free text."""


class GrammarText(Open, frozen=True, kw_only=True, tag_field="type", tag="grammar"):
    """The input of a custom tool follows a grammar."""

    syntax: Literal["lark", "regex"]
    definition: Annotated[str, msgspec.Meta(min_length=1, max_length=GRAMMAR_LIMIT_CHARS)]


class FunctionBody(Open, frozen=True, kw_only=True):
    """A function that the asker carries out."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    defer_loading: bool | None = None


class CustomBody(Open, frozen=True, kw_only=True):
    """A tool that takes text as it stands; the asker carries it out."""

    name: str
    description: str | None = None
    format: AnyText | GrammarText | None = None
    defer_loading: bool | None = None


class NamespaceBody(Open, frozen=True, kw_only=True):
    """Tools under a name of their own."""

    name: NotEmpty
    description: str | None = None
    tools: Annotated[list[dict[str, Any]], msgspec.Meta(max_length=TOOLS_LIMIT)]


class ShellBody(Open, frozen=True, kw_only=True):
    """Commands that the asker runs."""

    environment: dict[str, Any] | None = None


class ToolSearchBody(Open, frozen=True, kw_only=True):
    """Tools are shown only once they were searched for."""

    description: str | None = None
    execution: Literal["server", "client"] | None = None


class PlainBody(Open, frozen=True, kw_only=True):
    """A tool without settings."""


class McpFilter(Open, frozen=True, kw_only=True):
    """Some of a server's tools."""

    tool_names: list[str] | None = None
    read_only: bool | None = None


class McpApprovals(Open, frozen=True, kw_only=True):
    """Which tools take the asker's yes, and which do not."""

    always: McpFilter | None = None
    never: McpFilter | None = None


class McpBody(Open, frozen=True, kw_only=True):
    """A server whose tools Lar calls."""

    server_label: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    server_url: str | None = None
    server_description: str | None = None
    connector_id: str | None = None
    tunnel_id: str | None = None
    authorization: str | None = None
    headers: dict[str, str] | None = None
    allowed_tools: list[str] | McpFilter | None = None
    require_approval: ApprovalWord | McpApprovals | None = None
    defer_loading: bool | None = None


class HybridSearch(Open, frozen=True, kw_only=True):
    """How much meaning and words count."""

    embedding_weight: Annotated[float, msgspec.Meta(ge=0)]
    text_weight: Annotated[float, msgspec.Meta(ge=0)]


class RankingOptions(Open, frozen=True, kw_only=True):
    """How what was found is put in order."""

    ranker: str | None = None
    score_threshold: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    hybrid_search: HybridSearch | None = None


class FileSearchBody(Open, frozen=True, kw_only=True):
    """Collections that Lar searches."""

    vector_store_ids: Annotated[list[NotEmpty], msgspec.Meta(min_length=1, max_length=32)]
    max_num_results: Annotated[int, msgspec.Meta(ge=1, le=50)] | None = None
    filters: dict[str, Any] | None = None
    ranking_options: RankingOptions | None = None


class WebFilters(Open, frozen=True, kw_only=True):
    """Where is looked."""

    allowed_domains: Annotated[list[str], msgspec.Meta(max_length=100)] | None = None


class WebSearchBody(Open, frozen=True, kw_only=True):
    """The web, which Lar searches."""

    filters: WebFilters | None = None
    user_location: dict[str, Any] | None = None
    search_context_size: Literal["low", "medium", "high"] | None = None
    external_web_access: bool | None = None


class AutoContainer(Open, frozen=True, kw_only=True):
    """A sandbox that Lar makes."""

    type: Literal["auto"]
    file_ids: list[str] | None = None
    memory_limit: Literal["1g", "4g", "16g", "64g"] | None = None
    network_policy: dict[str, Any] | None = None


class CodeBody(Open, frozen=True, kw_only=True):
    """Programs that Lar runs in a sandbox."""

    container: str | AutoContainer


class ImageBody(Open, frozen=True, kw_only=True):
    """Pictures that Lar makes."""

    model: str | None = None
    size: str | None = None
    quality: str | None = None
    background: Literal["transparent", "opaque", "auto"] | None = None
    output_format: Literal["png", "webp", "jpeg", "gif", "svg"] | None = None
    output_compression: Annotated[int, msgspec.Meta(ge=0, le=100)] | None = None
    partial_images: Annotated[int, msgspec.Meta(ge=0, le=3)] | None = None
    action: Literal["generate", "edit", "auto"] | None = None
    input_image_mask: dict[str, Any] | None = None


HostedBody = McpBody | FileSearchBody | WebSearchBody | CodeBody | ImageBody


def echo_tool(given: dict[str, Any]) -> dict[str, Any]:
    """Return a tool as the response shows it: what may be null is there, what is secret is not."""
    shown = dict(given)
    match given["type"]:
        case "function":
            return _function_echo(shown)
        case "namespace":
            tools = [_function_echo(dict(e)) if e.get("type") == "function" else e for e in given["tools"]]
            return {**shown, "description": shown.get("description") or "", "tools": tools}
        case "mcp":
            for secret in ("authorization", "headers"):
                shown.pop(secret, None)
            if isinstance(shown.get("server_url"), str):
                shown["server_url"] = _without_path(shown["server_url"])
            shown.setdefault("require_approval", "always")
            return shown
        case _:
            return shown


def _function_echo(shown: dict[str, Any]) -> dict[str, Any]:
    shown.setdefault("description", None)
    shown.setdefault("parameters", None)
    if shown.get("strict") is None:
        shown["strict"] = True
    return shown


def _without_path(url: str) -> str:
    """Return where a server is; what stands behind that may be a secret."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        place = f"{host}:{parts.port}" if parts.port else host
    except ValueError:
        return REDACTED
    has_more = parts.path not in ("", "/") or bool(parts.query)
    return f"{parts.scheme}://{place}" + (f"/{REDACTED}" if has_more else "")
