"""The fixture's tools that need input in the newer era: they say what they want, and are called again."""

from collections.abc import Mapping
from typing import Any

import mcp.types as wire

from tests.conformance.fixture_words import (
    NAME_SCHEMA,
    Answer,
    Context,
    FixtureTool,
    done,
    strings,
    text,
)

Params = wire.CallToolRequestParams | wire.GetPromptRequestParams
CONFIRM_SCHEMA = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}


def ask_user(message: str, schema: dict[str, Any]) -> wire.ElicitRequest:
    return wire.ElicitRequest(params=wire.ElicitRequestFormParams(message=message, requested_schema=schema))


def ask_model(question: str) -> wire.CreateMessageRequest:
    asked = wire.SamplingMessage(role="user", content=text(question))
    return wire.CreateMessageRequest(params=wire.CreateMessageRequestParams(messages=[asked], max_tokens=50))


def ask_roots() -> wire.ListRootsRequest:
    return wire.ListRootsRequest()


def wanted(requests: Mapping[str, Any], state: str | None = None) -> wire.InputRequiredResult:
    return wire.InputRequiredResult(input_requests=dict(requests), request_state=state)


def given(params: Params, key: str) -> Any | None:
    """Return the client's response to a question, or None."""
    return (params.input_responses or {}).get(key)


def content_of(response: Any, key: str) -> str | None:
    """Return a field of what the user filled in; None where it is not what was asked."""
    content = response.content if isinstance(response, wire.ElicitResult) else None
    value = (content or {}).get(key)
    return None if value is None else str(value)


NAME = {"user_name": ask_user("What is your name?", NAME_SCHEMA)}


async def elicitation(context: Context, params: wire.CallToolRequestParams) -> Answer:
    name = content_of(given(params, "user_name"), "name")
    return wanted(NAME) if name is None else done(text(f"Hello, {name}!"))


async def sampling(context: Context, params: wire.CallToolRequestParams) -> Answer:
    response = given(params, "capital_question")
    if not isinstance(response, wire.CreateMessageResult):
        return wanted({"capital_question": ask_model("What is the capital of France?")})
    return done(text(getattr(response.content, "text", "")))


async def roots(context: Context, params: wire.CallToolRequestParams) -> Answer:
    response = given(params, "client_roots")
    if not isinstance(response, wire.ListRootsResult):
        return wanted({"client_roots": ask_roots()})
    return done(text(f"{len(response.roots)} roots"))


async def state(context: Context, params: wire.CallToolRequestParams) -> Answer:
    if given(params, "confirm") is None or params.request_state != "asked":
        return wanted({"confirm": ask_user("Please confirm", CONFIRM_SCHEMA)}, "asked")
    return done(text("state-ok"))


async def several(context: Context, params: wire.CallToolRequestParams) -> Answer:
    questions = {**NAME, "greeting": ask_model("Generate a greeting"), "client_roots": ask_roots()}
    if any(given(params, each) is None for each in questions) or params.request_state != "several":
        return wanted(questions, "several")
    return done(text("All three are here."))


async def rounds(context: Context, params: wire.CallToolRequestParams) -> Answer:
    if params.request_state == "one" and given(params, "step1") is not None:
        question = ask_user("Step 2: What is your favorite color?", strings("color"))
        return wanted({"step2": question}, "two")

    if params.request_state == "two" and given(params, "step2") is not None:
        return done(text("Both steps are done."))
    return wanted({"step1": ask_user("Step 1: What is your name?", NAME_SCHEMA)}, "one")


async def sealed(context: Context, params: wire.CallToolRequestParams) -> Answer:
    """The state is sealed at the border: a changed one never comes here."""
    if params.request_state != "sealed":
        return wanted({"confirm": ask_user("Please confirm", CONFIRM_SCHEMA)}, "sealed")
    return done(text("The state is whole."))


async def able(context: Context, params: wire.CallToolRequestParams) -> Answer:
    declared = context.session.client_capabilities
    questions: dict[str, Any] = {}
    if declared is not None and declared.elicitation is not None:
        questions |= NAME
    if declared is not None and declared.sampling is not None:
        questions["greeting"] = ask_model("Generate a greeting")
    if not questions or all(given(params, each) is not None for each in questions):
        return done(text("Nothing more is needed."))
    return wanted(questions)


ASKING = tuple(
    FixtureTool(f"test_input_required_result_{name}", "Needs input.", work)
    for name, work in (
        ("elicitation", elicitation),
        ("sampling", sampling),
        ("list_roots", roots),
        ("request_state", state),
        ("multiple_inputs", several),
        ("multi_round", rounds),
        ("tampered_state", sealed),
        ("capabilities", able),
    )
)
ASKING_PROMPT = "test_input_required_result_prompt"


async def asking_prompt(
    params: wire.GetPromptRequestParams,
) -> wire.GetPromptResult | wire.InputRequiredResult:
    """Fill the prompt that wants to know more."""
    context = content_of(given(params, "user_context"), "context")
    if context is None:
        return wanted({"user_context": ask_user("What context should be used?", strings("context"))})
    return wire.GetPromptResult(messages=[wire.PromptMessage(role="user", content=text(context))])
