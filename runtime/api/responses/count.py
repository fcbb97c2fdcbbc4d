"""POST /v1/responses/input_tokens: how many tokens the first prompt of a response would have."""

from aiohttp import web

from runtime.api.bodies import read_body
from runtime.api.openai.ability import ready_model_for
from runtime.api.reach import json_answer
from runtime.api.responses.body import CountBody
from runtime.api.responses.opening import opener_of
from runtime.api.responses.request import create_body_of, first_request
from runtime.api.tokens import tokens_of
from runtime.core.messages import TokenizeRequest


async def post_input_tokens(request: web.Request) -> web.Response:
    """Count. Nothing is generated, and nothing is kept."""
    body = await read_body(request, CountBody)
    prepared = await opener_of(request).prepare(create_body_of(body))
    chat = first_request(prepared.new)
    model = await ready_model_for(request, chat.model, "tokenize", "count tokens")
    found = await tokens_of(request, TokenizeRequest(model=model.id, chat=chat))
    return json_answer({"object": "response.input_tokens", "input_tokens": len(found.tokens)})
