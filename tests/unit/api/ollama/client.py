"""The official Ollama client for a stage, and models that it can ask."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ollama import AsyncClient

from runtime.core.messages import Began, Delta, Ended, ToolCallDelta, Usage
from runtime.core.states import Feature, ModelState
from tests.kit.fake_models import ALL_FEATURES, known_model
from tests.kit.fake_pool import Step
from tests.kit.http_stage import Stage

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\2\0\0\0\2\x08\2" + bytes(40)
QUESTION: list[Any] = [{"role": "user", "content": "Hi"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALL: list[Step] = [
    Began(prompt_tokens=9),
    Delta(text="Let me see."),
    Delta(tool_calls=(ToolCallDelta(index=0, id="call_1", name="get_weather", arguments=""),)),
    Delta(tool_calls=(ToolCallDelta(index=0, arguments='{\n "city":'),)),
    Delta(tool_calls=(ToolCallDelta(index=0, arguments='"Lisboa"}'),)),
    Delta(tool_calls=(ToolCallDelta(index=1, id="call_2", name="get_weather", arguments="{}"),)),
    Ended(reason="tool_calls", usage=Usage(prompt_tokens=9, completion_tokens=4)),
]
ABLE: frozenset[Feature] = ALL_FEATURES | {"images", "completions", "suffix", "tokenize", "typical_p"}
EMBEDDER: frozenset[Feature] = frozenset({"embeddings", "tokenize"})


def able_model(model: str = "m", stage: Any = "loaded") -> ModelState:
    """Return a model that can do all that a chat may ask for."""
    return known_model(model, stage, ABLE)


@asynccontextmanager
async def ollama(stage: Stage, key: str | None = None) -> AsyncIterator[AsyncClient]:
    """Return the official client for this server."""
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    async with AsyncClient(host=stage.address, headers=headers, trust_env=False, verify=False) as client:
        yield client
