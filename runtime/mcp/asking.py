"""What servers may ask back: the person a question, Lar's models for a text, Lar for its folders.

Whatever nobody is there to answer is declined. A server is never told why in more words than it needs.
"""

import logging
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import mcp.types as wire
from mcp.client import ClientRequestContext

from runtime.core.tools import Elicit, Elicitation, Sample, Sampling
from runtime.mcp.config import ServerEntry
from runtime.mcp.suspicions import strip_hidden

logger = logging.getLogger(__name__)

_MOST_TOKENS = 4096
_SAMPLE_LIMIT_S = 300.0
"""A model of this machine may have to be loaded first."""


class Answerers(NamedTuple):
    """Who answers; None: nobody, and so the answer is no."""

    elicit: Elicit | None = None
    elicit_wait_s: float = 120.0
    sample: Sample | None = None


NOBODY = Answerers()


def asking_options(entry: ServerEntry, answerers: Answerers, home: Path) -> dict[str, Any]:
    """Return the callbacks of the SDK's client; what is not among them is not offered to the server."""
    options: dict[str, Any] = {}
    if answerers.elicit is not None:
        options["elicitation_callback"] = _elicitation(entry.name, answerers.elicit, answerers.elicit_wait_s)
    if entry.config.sampling and answerers.sample is not None:
        options["sampling_callback"] = _sampling(entry.name, answerers.sample)
    if entry.config.roots:
        options["list_roots_callback"] = _roots(entry, home)
    return options


def _elicitation(server: str, elicit: Elicit, wait_s: float) -> Any:
    async def ask(context: ClientRequestContext, params: wire.ElicitRequestParams) -> wire.ElicitResult:
        del context
        message = strip_hidden(params.message)
        if isinstance(params, wire.ElicitRequestURLParams):
            question = Elicitation(server=server, message=message, url=str(params.url))
        else:
            question = Elicitation(server=server, message=message, form=params.requested_schema)
        answer = None
        with anyio.move_on_after(wait_s):
            answer = await elicit(question)
        if answer is None:
            logger.info("nobody answered a server's question", extra={"server": server})
            return wire.ElicitResult(action="decline")

        content = answer.content if answer.action == "accept" else None
        return wire.ElicitResult(action=answer.action, content=content)

    return ask


def _sampling(server: str, sample: Sample) -> Any:
    async def generate(
        context: ClientRequestContext, params: wire.CreateMessageRequestParams
    ) -> wire.CreateMessageResult | wire.ErrorData:
        del context
        messages = []
        for each in params.messages:
            if not isinstance(each.content, wire.TextContent):
                return wire.ErrorData(code=wire.INVALID_PARAMS, message="Only texts can be sampled from.")
            messages.append((each.role, each.content.text))
        asked = Sampling(
            server=server,
            messages=tuple(messages),
            system=params.system_prompt or "",
            max_tokens=min(params.max_tokens, _MOST_TOKENS),
            temperature=params.temperature,
            stop=tuple(params.stop_sequences or ()),
        )
        with anyio.move_on_after(_SAMPLE_LIMIT_S):
            answer = await sample(asked)
            if isinstance(answer, str):
                return wire.ErrorData(code=wire.INVALID_REQUEST, message=answer)
            return wire.CreateMessageResult(
                role="assistant", content=wire.TextContent(type="text", text=answer.text), model=answer.model
            )
        return wire.ErrorData(code=wire.INTERNAL_ERROR, message="No model answered in time.")

    return generate


def _roots(entry: ServerEntry, home: Path) -> Any:
    folders = [(home / Path(each).expanduser()).absolute() for each in entry.config.roots]

    async def roots(context: ClientRequestContext) -> wire.ListRootsResult:
        del context
        return wire.ListRootsResult(
            roots=[wire.Root(uri=each.as_uri(), name=each.name) for each in folders]  # type: ignore[arg-type]  # pydantic reads the text
        )

    return roots
