"""Items in OpenAI's words: what a response's output and the lists of input items show.

Null or absent as OpenAI has it: what only some items have is left out, what an item of the kind always has is
there. A call that Lar carries out and its result are one item; one whose result comes from the asker are two.
"""

import base64
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from runtime.api.images import kind_of
from runtime.api.responses.calls_out import OWN_SERVER, call_out, result_out
from runtime.api.responses.sealing import Sealer
from runtime.core.agents.items import (
    Answered,
    AnyItem,
    Called,
    Citation,
    Compacted,
    Decided,
    Document,
    Foreign,
    Listed,
    Part,
    Picture,
    Refusal,
    Said,
    Text,
    Thought,
    Wanted,
)
from runtime.core.ids import TenantId
from runtime.core.messages import ChosenLogprob

Wired = dict[str, Any]
"""An item, or a part of one, as JSON has it."""

LOGPROBS = "message.output_text.logprobs"
ENCRYPTED_REASONING = "reasoning.encrypted_content"
INPUT_IMAGES = "message.input_image.image_url"


class ItemWords:
    """How items are shown to one asker: with what was asked to be included."""

    def __init__(self, tenant: TenantId, sealer: Sealer, include: Collection[str] = ()) -> None:
        self._tenant = tenant
        self._sealer = sealer
        self._include = frozenset(include)

    def item(self, item: AnyItem, result: Answered | None = None) -> Wired:
        """Return an item as JSON has it; a call that Lar carried out with its result."""
        match item:
            case Said():
                return self._said(item)
            case Thought():
                return self._thought(item)
            case Called():
                return call_out(item, result, self._include)
            case Answered():
                return result_out(item, self.parts(item.parts))
            case Listed():
                return {
                    "id": item.id,
                    "type": "mcp_list_tools",
                    "server_label": item.server,
                    "tools": [_listed_tool(each) for each in item.tools],
                    "error": item.error,
                }
            case Wanted():
                return {
                    "id": item.id,
                    "type": "mcp_approval_request",
                    "server_label": item.server or OWN_SERVER,
                    "name": item.tool,
                    "arguments": item.arguments,
                }
            case Decided():
                return {
                    "id": item.id,
                    "type": "mcp_approval_response",
                    "approval_request_id": item.wanted,
                    "approve": item.is_approved,
                    "reason": item.reason or None,
                }
            case Compacted():
                sealed = self._sealer.seal("compaction", self._tenant, item.summary)
                return {"id": item.id, "type": "compaction", "encrypted_content": sealed}
            case Foreign():
                return {**item.body, "id": item.id}

    def items(self, items: Iterable[AnyItem]) -> list[Wired]:
        """Return many items; results of calls that Lar carried out are shown with their calls."""
        return [self.item(item, result) for item, result in paired(items)]

    def parts(self, parts: Sequence[Part]) -> list[Wired]:
        """Return the parts of what an asker sends."""
        shows = INPUT_IMAGES in self._include
        return [_given(each, shows_data=shows) for each in parts]

    def _said(self, said: Said) -> Wired:
        status = "incomplete" if said.status == "failed" else said.status
        wired: Wired = {"id": said.id, "type": "message", "status": status, "role": said.role}
        if said.role != "assistant":
            wired["content"] = self.parts(said.parts)
            return wired

        has_logprobs = LOGPROBS in self._include
        wired["content"] = [_written(each, has_logprobs=has_logprobs) for each in said.parts]
        if said.phase is not None:
            wired["phase"] = said.phase
        return wired

    def _thought(self, thought: Thought) -> Wired:
        status = "incomplete" if thought.status == "failed" else thought.status
        wired: Wired = {"id": thought.id, "type": "reasoning", "status": status}
        wired["summary"] = [{"type": "summary_text", "text": each} for each in thought.summary]
        if thought.text:
            wired["content"] = [{"type": "reasoning_text", "text": thought.text}]
        if ENCRYPTED_REASONING in self._include and thought.text:
            wired["encrypted_content"] = self._sealer.seal("reasoning", self._tenant, thought.text)
        return wired


def paired(items: Iterable[AnyItem]) -> list[tuple[AnyItem, Answered | None]]:
    """Return items, each call that Lar carries out with its result, which has no place of its own."""
    kept = list(items)
    results = {each.call_id: each for each in kept if isinstance(each, Answered)}
    own = {each.call_id for each in kept if isinstance(each, Called) and not each.by_client}
    return [
        (each, results.get(each.call_id) if isinstance(each, Called) and not each.by_client else None)
        for each in kept
        if not (isinstance(each, Answered) and each.call_id in own)
    ]


def annotation_out(citation: Citation) -> Wired:
    """Return a citation: of a page if it has an address, else of a file."""
    if citation.url is not None:
        return {
            "type": "url_citation",
            "url": citation.url,
            "title": citation.title,
            "start_index": citation.start,
            "end_index": citation.end,
        }

    return {
        "type": "file_citation",
        "file_id": citation.file_id or "",
        "filename": citation.filename,
        "index": citation.index,
    }


def logprob_out(chosen: ChosenLogprob) -> Wired:
    """Return how probable a token was, and its alternatives."""
    return {
        "token": chosen.token,
        "bytes": list(chosen.bytes),
        "logprob": chosen.logprob,
        "top_logprobs": [
            {"token": each.token, "bytes": list(each.bytes), "logprob": each.logprob}
            for each in chosen.top_logprobs
        ],
    }


def _written(part: Part, *, has_logprobs: bool) -> Wired:
    """Return a part of what the assistant said."""
    match part:
        case Refusal():
            return {"type": "refusal", "refusal": part.text}
        case Text():
            wired: Wired = {
                "type": "output_text",
                "text": part.text,
                "annotations": [annotation_out(each) for each in part.citations],
            }
            if has_logprobs:
                wired["logprobs"] = [logprob_out(each) for each in part.logprobs]
            return wired
        case Document():
            return {"type": "output_text", "text": part.text, "annotations": []}
        case Picture():
            return {"type": "output_text", "text": "[picture]", "annotations": []}


def _given(part: Part, *, shows_data: bool) -> Wired:
    """Return a part of what an asker has sent; bytes only where they are asked for, or name nothing else."""
    match part:
        case Text():
            return {"type": "input_text", "text": part.text}
        case Refusal():
            return {"type": "input_text", "text": part.text}
        case Picture():
            return _picture(part, shows_data=shows_data)
        case Document():
            named: Wired = {"type": "input_file"}
            fields: dict[str, str | None] = {
                "file_id": part.file_id,
                "filename": part.filename or None,
                "file_url": part.url,
                "file_data": part.data,
            }
            return {**named, **{name: value for name, value in fields.items() if value is not None}}


def _picture(part: Picture, *, shows_data: bool) -> Wired:
    wired: Wired = {"type": "input_image", "detail": part.detail, "file_id": part.file_id, "image_url": None}
    if part.url is not None and (shows_data or not part.url.startswith("data:")):
        wired["image_url"] = part.url
    elif part.data is not None and shows_data:
        kind = kind_of(part.data) or "png"
        wired["image_url"] = f"data:image/{kind};base64,{base64.b64encode(part.data).decode()}"
    return wired


def _listed_tool(tool: dict[str, Any]) -> Wired:
    return {
        "name": tool.get("name", ""),
        "description": tool.get("description"),
        "input_schema": tool.get("input_schema") or {},
        "annotations": tool.get("annotations"),
    }
