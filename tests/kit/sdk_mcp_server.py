"""An MCP server made with the SDK, over HTTP, SSE or stdio: `sdk_mcp_server.py http|sse|stdio [PORT]`."""

import json
import sys
from typing import Annotated

import anyio
from mcp.server import MCPServer
from mcp.server.mcpserver import Context, Elicit, ListRoots, Resolve, Sample
from mcp.types import (
    Completion,
    CompletionArgument,
    CreateMessageResult,
    ListRootsResult,
    SamplingMessage,
    TextContent,
)
from pydantic import BaseModel

server = MCPServer("sdk", version="1")


@server.tool()
def echo(text: str) -> str:
    "Return the text."
    return text


@server.tool()
async def hang() -> str:
    "Never end."
    await anyio.sleep(600)
    return "never"


@server.tool()
def flood(count: int) -> str:
    "Return many letters."
    return "x" * count


@server.tool()
async def steps(context: Context) -> str:
    "Report progress."
    for step in range(3):
        await context.report_progress(step, 3, "step")
    return "done"


@server.tool()
async def grow(context: Context) -> str:
    "Offer one more tool."

    def grown() -> str:
        "Was not there before."
        return "grown"

    server.add_tool(grown)
    await context.notify_tools_changed()
    return "grew"


class Name(BaseModel):
    name: str


def ask_name() -> Elicit[Name]:
    return Elicit("What is your name?", Name)


def ask_model() -> Sample:
    text = TextContent(type="text", text="Capital of France?")
    return Sample([SamplingMessage(role="user", content=text)], max_tokens=9)


def ask_roots() -> ListRoots:
    return ListRoots()


@server.tool()
def greet_person(name: Annotated[Name, Resolve(ask_name)]) -> str:
    "Ask the person for a name and greet."
    return f"Hello, {name.name}!"


@server.tool()
def capital(answer: Annotated[CreateMessageResult, Resolve(ask_model)]) -> str:
    "Ask the client's model."
    return getattr(answer.content, "text", "")


@server.tool()
def folders(roots: Annotated[ListRootsResult, Resolve(ask_roots)]) -> str:
    "Tell the client's folders."
    return " ".join(str(each.uri) for each in roots.roots)


@server.resource("note://one", name="one", description="A note.")
def note() -> str:
    return "the text of the note"


@server.resource("note://by/{name}", name="by name")
def note_by(name: str) -> str:
    return f"a note of {name}"


@server.prompt(description="Greets.")
def greet(name: str) -> str:
    return f"Say hello to {name}."


@server.completion()  # type: ignore[no-untyped-call, untyped-decorator]  # the SDK gives no types here
async def complete(reference: object, argument: CompletionArgument, context: object) -> Completion:
    return Completion(values=[each for each in ("anna", "anton") if each.startswith(argument.value)])


if __name__ == "__main__":
    kind = sys.argv[1]
    if kind == "stdio":
        server.run("stdio")
    else:
        sys.stderr.write(json.dumps({"port": int(sys.argv[2])}))
        server.run({"http": "streamable-http", "sse": "sse"}[kind], host="127.0.0.1", port=int(sys.argv[2]))  # type: ignore[call-overload]  # one of the two
