"""The Agents SDK of OpenAI, unmodified, against a real server: tools, handovers, sessions, streams."""

from collections.abc import AsyncIterator, Iterator

import pytest
from agents import (
    Agent,
    ModelSettings,
    OpenAIConversationsSession,
    OpenAIResponsesModel,
    OpenAIResponsesWSModel,
    RunConfig,
    Runner,
    SQLiteSession,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from openai.types.responses import ResponseTextDeltaEvent
from pydantic import BaseModel

from tests.kit.server import RunningServer, running_server

_CONFIG = RunConfig(tracing_disabled=True)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    set_tracing_disabled(True)
    with running_server(tmp_path_factory.mktemp("agents-sdk")) as running:
        yield running


@pytest.fixture
async def client(server: RunningServer) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{server.address}/v1", api_key="none", max_retries=0) as sdk:
        yield sdk


@function_tool
def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"18 degrees in {city}"


def _model(client: AsyncOpenAI) -> OpenAIResponsesModel:
    return OpenAIResponsesModel(model="scripted", openai_client=client)


async def test_an_agent_calls_its_tools_and_answers(client: AsyncOpenAI) -> None:
    agent = Agent(name="clerk", instructions="Be brief.", model=_model(client), tools=[get_weather])

    result = await Runner.run(
        agent,
        '[[call: get_weather {"city": "Lisbon"}]] [[call: get_weather {"city": "Porto"}]]',
        run_config=_CONFIG,
    )

    assert result.final_output == (
        "get_weather returned: 18 degrees in Lisbon\nget_weather returned: 18 degrees in Porto"
    )
    assert result.context_wrapper.usage.requests == 2
    assert result.context_wrapper.usage.total_tokens > 0


async def test_an_agent_hands_over_to_another(client: AsyncOpenAI) -> None:
    spanish = Agent(name="Spanish", model=_model(client), instructions="Answer in Spanish.")
    triage = Agent(name="triage", model=_model(client), handoffs=[spanish])

    result = await Runner.run(
        triage, "[[call: transfer_to_spanish {}]] [[then]] [[say: Hola.]]", run_config=_CONFIG
    )

    assert result.last_agent.name == "Spanish"
    assert result.final_output == "Hola."


async def test_an_agent_streams_its_turns(client: AsyncOpenAI) -> None:
    agent = Agent(name="clerk", model=_model(client), tools=[get_weather])
    deltas: list[str] = []
    names: list[str] = []

    result = Runner.run_streamed(agent, '[[call: get_weather {"city": "Lisbon"}]]', run_config=_CONFIG)
    async for event in result.stream_events():
        if event.type == "raw_response_event" and isinstance(event.data, ResponseTextDeltaEvent):
            deltas.append(event.data.delta)
        if event.type == "run_item_stream_event":
            names.append(event.name)

    assert "".join(deltas) == result.final_output == "get_weather returned: 18 degrees in Lisbon"
    assert names == ["tool_called", "tool_output", "message_output_created"]


async def test_a_session_of_the_client_carries_the_conversation(client: AsyncOpenAI) -> None:
    agent = Agent(name="clerk", model=_model(client), tools=[get_weather])
    session = SQLiteSession("one")
    try:
        await Runner.run(
            agent, '[[call: get_weather {"city": "Porto"}]]', session=session, run_config=_CONFIG
        )
        second = await Runner.run(agent, "And now?", session=session, run_config=_CONFIG)
        items = await session.get_items()
    finally:
        session.close()

    assert second.final_output == "You said: And now?"
    assert len(items) == 6


async def test_a_conversation_of_the_server_is_a_session(client: AsyncOpenAI) -> None:
    agent = Agent(name="clerk", model=_model(client), tools=[get_weather])
    session = OpenAIConversationsSession(openai_client=client)

    await Runner.run(agent, '[[call: get_weather {"city": "Porto"}]]', session=session, run_config=_CONFIG)
    second = await Runner.run(agent, "And now?", session=session, run_config=_CONFIG)

    assert second.final_output == "You said: And now?"
    assert len(await session.get_items()) == 6


async def test_a_conversation_of_the_server_is_continued_by_its_id(client: AsyncOpenAI) -> None:
    agent = Agent(name="clerk", model=_model(client), tools=[get_weather])
    conversation = await client.conversations.create()

    first = await Runner.run(
        agent,
        '[[call: get_weather {"city": "Porto"}]]',
        conversation_id=conversation.id,
        run_config=_CONFIG,
    )
    items = [each async for each in client.conversations.items.list(conversation.id, order="asc")]

    assert first.final_output == "get_weather returned: 18 degrees in Porto"
    assert [each.type for each in items] == [
        "message",
        "function_call",
        "function_call_output",
        "message",
    ]


async def test_turns_go_on_from_the_previous_response(client: AsyncOpenAI) -> None:
    agent = Agent(name="clerk", model=_model(client), tools=[get_weather])

    first = await Runner.run(agent, "My name is Ada.", run_config=_CONFIG)
    second = await Runner.run(
        agent,
        '[[call: get_weather {"city": "Porto"}]]',
        previous_response_id=first.last_response_id,
        auto_previous_response_id=True,
        run_config=_CONFIG,
    )

    assert second.final_output == "get_weather returned: 18 degrees in Porto"


async def test_output_has_its_type(client: AsyncOpenAI) -> None:
    class Person(BaseModel):
        name: str
        age: int

    agent = Agent(name="clerk", model=_model(client), output_type=Person)

    result = await Runner.run(agent, "Who are you?", run_config=_CONFIG)

    assert isinstance(result.final_output, Person)


async def test_an_agent_is_a_tool_of_another(client: AsyncOpenAI) -> None:
    expert = Agent(name="expert", model=_model(client))
    tool = expert.as_tool("ask_expert", "Ask somebody who knows.")
    agent = Agent(name="clerk", model=_model(client), tools=[tool])

    result = await Runner.run(agent, '[[call: ask_expert {"input": "Why?"}]]', run_config=_CONFIG)

    assert result.final_output == "ask_expert returned: You said: Why?"


async def test_a_forced_tool_is_called_once(client: AsyncOpenAI) -> None:
    agent = Agent(
        name="clerk",
        model=_model(client),
        tools=[get_weather],
        model_settings=ModelSettings(tool_choice="get_weather", parallel_tool_calls=False),
        tool_use_behavior="stop_on_first_tool",
    )

    result = await Runner.run(agent, "Anything", run_config=_CONFIG)

    assert result.final_output.startswith("18 degrees in")


async def test_an_agent_works_over_a_socket(client: AsyncOpenAI) -> None:
    model = OpenAIResponsesWSModel(model="scripted", openai_client=client)
    agent = Agent(name="clerk", model=model, tools=[get_weather])
    try:
        result = await Runner.run(agent, '[[call: get_weather {"city": "Lisbon"}]]', run_config=_CONFIG)
    finally:
        await model.close()

    assert result.final_output == "get_weather returned: 18 degrees in Lisbon"
