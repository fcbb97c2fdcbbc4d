"""Requests without a question: Ollama's way to have a model loaded, or freed, ahead of time."""

from aiohttp import web

from runtime.api.deps import DEPS, PRINCIPAL
from runtime.api.errors import forbidden
from runtime.api.ollama.keep_alive import may_release, release
from runtime.api.ollama.lines import DoneReason
from runtime.api.runs import open_run
from runtime.core.ids import ModelId
from runtime.core.messages import (
    ChatRequest,
    EmbedRequest,
    Message,
    Request,
    Sampling,
    TokenizeRequest,
)
from runtime.core.states import ModelState


async def settle(request: web.Request, model: ModelState, *, is_released: bool) -> DoneReason:
    """Load the model, or free it where that is what was asked; return which of both.

    Raises Refused where it may not be freed by this principal, or cannot be loaded.
    """
    if not is_released:
        await _load(request, model)
        return "load"

    if not may_release(request[PRINCIPAL]):
        raise forbidden(
            "This key may not free models ('keep_alive': 0 without a question needs 'operate'). "
            "Create one with 'lar keys create --role operator'.",
            "insufficient_permissions",
        )

    await release(request.app[DEPS], model.id)
    return "unload"


async def _load(request: web.Request, model: ModelState) -> None:
    if model.stage == "loaded":
        return

    async with open_run(request, _least_of(model)) as run:
        async for _ in run.pieces():
            pass


def _least_of(model: ModelState) -> Request:
    """Return the least work that needs the model in memory."""
    if "tokenize" in model.features:
        return TokenizeRequest(model=ModelId(model.id), text="")

    if "embeddings" in model.features:
        return EmbedRequest(model=model.id, inputs=("a",))

    return ChatRequest(
        model=model.id, messages=(Message(role="user", content="a"),), sampling=Sampling(max_tokens=1)
    )
