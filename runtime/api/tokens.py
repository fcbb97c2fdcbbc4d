"""POST /v1/tokenize and /v1/detokenize: a model's tokens of a text or a chat, and back.

One shape for both traditions (vLLM's and llama-server's), whose names for the same fields are all taken.
`tokens_of` serves any dialect that counts tokens.
"""

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from runtime.api.bodies import read_body
from runtime.api.deps import DEPS
from runtime.api.errors import invalid, unsupported
from runtime.api.features import check_features
from runtime.api.openai.ability import ready_model_for
from runtime.api.openai.body import TOOLS_LIMIT, AnyTool, WireMessage
from runtime.api.openai.conversation import conversation_of
from runtime.api.openai.legacy_logprobs import token_text
from runtime.api.openai.sampling import Int32, NotEmpty, Wire
from runtime.api.openai.tools import tools_of
from runtime.api.runs import open_run
from runtime.core.ids import ModelId
from runtime.core.messages import ChatRequest, Delta, DetokenizeRequest, TokenizeRequest, Tokens

_DOING = "be asked for tokens"


class TokenizeBody(Wire, frozen=True, kw_only=True):
    """POST /v1/tokenize: one of content, prompt and messages."""

    model: NotEmpty
    content: str | None = None
    prompt: str | None = None
    messages: Annotated[list[WireMessage], msgspec.Meta(min_length=1)] | None = None
    tools: Annotated[list[AnyTool], msgspec.Meta(max_length=TOOLS_LIMIT)] | None = None
    reasoning_effort: str | None = None
    add_generation_prompt: bool | None = None
    add_special: bool | None = None
    add_special_tokens: bool | None = None
    parse_special: bool | None = None
    with_pieces: bool | None = None
    return_token_strs: bool | None = None


class TokenizeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a text's tokens are."""

    tokens: tuple[int, ...]
    count: int
    max_model_len: int | None
    """What prompt and answer may take together; null until the model was loaded once."""
    token_strs: list[str] | UnsetType = UNSET
    """The text of each token, where it was asked for."""


class DetokenizeBody(Wire, frozen=True, kw_only=True):
    """POST /v1/detokenize."""

    model: NotEmpty
    tokens: list[Int32]


class DetokenizeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A text, under the names of both traditions."""

    content: str
    prompt: str


async def post_tokenize(request: web.Request) -> web.Response:
    """Return the tokens of a text, or of a chat as the model's template writes it."""
    deps = request.app[DEPS]
    body = await read_body(request, TokenizeBody)
    asked = tokenize_request_of(body)
    model = await ready_model_for(request, asked.model, "tokenize", _DOING)
    if asked.chat is not None:
        check_features(asked.chat, model)
    found = await tokens_of(request, asked)
    known = deps.models.find_model(model.id) or model  # loaded meanwhile, perhaps
    wants_texts = _either(body, "with_pieces", "return_token_strs", otherwise=False)
    answer = TokenizeAnswer(
        tokens=found.tokens,
        count=len(found.tokens),
        max_model_len=known.context_tokens,
        token_strs=[token_text(each) for each in found.pieces] if wants_texts else UNSET,
    )
    return web.Response(body=msgspec.json.encode(answer), content_type="application/json")


async def post_detokenize(request: web.Request) -> web.Response:
    """Return the text that tokens stand for."""
    body = await read_body(request, DetokenizeBody)
    model = await ready_model_for(request, ModelId(body.model), "tokenize", _DOING)
    asked = DetokenizeRequest(model=model.id, tokens=tuple(body.tokens))
    async with open_run(request, asked) as run:
        texts = [each.output.text async for each in run.pieces() if isinstance(each.output, Delta)]
    text = "".join(texts)
    answer = DetokenizeAnswer(content=text, prompt=text)
    return web.Response(body=msgspec.json.encode(answer), content_type="application/json")


async def tokens_of(request: web.Request, asked: TokenizeRequest) -> Tokens:
    """Run a tokenisation and return all of it. Raises Refused, LarError."""
    tokens: list[int] = []
    pieces: list[bytes] = []
    async with open_run(request, asked) as run:
        async for piece in run.pieces():
            if isinstance(piece.output, Tokens):
                tokens += piece.output.tokens
                pieces += piece.output.pieces
    return Tokens(tokens=tuple(tokens), pieces=tuple(pieces))


def tokenize_request_of(body: TokenizeBody) -> TokenizeRequest:
    """Return the request for the core. Raises Refused, naming the field."""
    given = {"content": body.content, "prompt": body.prompt, "messages": body.messages}
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        what = "all at once" if named else "none"
        raise invalid(
            f"Send one of 'content', 'prompt' (the same) and 'messages', not {what}.",
            named[-1] if named else "content",
        )

    adds_special = _either(body, "add_special", "add_special_tokens", otherwise=True)
    _either(body, "with_pieces", "return_token_strs", otherwise=False)
    chat = _chat_of(body)
    return TokenizeRequest(
        model=ModelId(body.model),
        text=None if chat else body.content if body.content is not None else body.prompt,
        chat=chat,
        adds_special=adds_special,
        parses_special=body.parse_special is not False,
    )


def _chat_of(body: TokenizeBody) -> ChatRequest | None:
    if body.messages is None:
        for name, value in (("tools", body.tools), ("reasoning_effort", body.reasoning_effort)):
            if value:
                raise invalid(f"'{name}' is allowed with 'messages' only.", name)
        return None

    if body.add_generation_prompt is False:
        raise unsupported(
            "'add_generation_prompt' of false is not supported: a prompt ends where the answer begins.",
            "add_generation_prompt",
        )

    return ChatRequest(
        model=ModelId(body.model),
        messages=conversation_of(body.messages),
        tools=tools_of(body.tools),
        reasoning_effort=body.reasoning_effort,
    )


def _either(body: TokenizeBody, name: str, other: str, *, otherwise: bool) -> bool:
    """Return a switch that has two names. Raises Refused where they differ."""
    given: set[bool] = {value for value in (getattr(body, name), getattr(body, other)) if value is not None}
    if len(given) > 1:
        raise invalid(f"'{name}' and '{other}' say the same, but differ here. Send one.", other)

    return given.pop() if given else otherwise
