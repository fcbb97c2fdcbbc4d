"""What the scripted engine reads out of a request: messages and tools as narrow structs.

The wire carries them as plain objects in the OpenAI chat form; whatever the engine does not look at is
ignored here.
"""

import msgspec

from runtime.backends.engines.scripted.pieces import count_pieces
from runtime.backends.protocol import Fault, Generate


class Refused(Exception):
    """The request cannot be served as it stands; `fault` tells the person why and what to do."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a message's content; only its text counts."""

    text: str = ""


class CalledFunction(msgspec.Struct, frozen=True, kw_only=True):
    """What an earlier assistant message called."""

    name: str = ""
    arguments: str = ""


class EarlierCall(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call inside an earlier assistant message."""

    id: str = ""
    function: CalledFunction = CalledFunction()


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message of the conversation."""

    role: str
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[EarlierCall] | None = None
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """The content as one text; empty where there is none."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)

        return self.content or ""

    @property
    def calls(self) -> list[EarlierCall]:
        """The tool calls that the message holds."""
        return self.tool_calls or []


class Function(msgspec.Struct, frozen=True, kw_only=True):
    """A function that may be called."""

    name: str
    description: str | None = None
    parameters: dict[str, object] | None = None


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """One offered tool."""

    function: Function


class Chat(msgspec.Struct, frozen=True, kw_only=True):
    """The conversation and the tools of one request."""

    messages: list[Message]
    tools: list[Tool]

    @property
    def asked_index(self) -> int | None:
        """Where the last message of a user stands; None where no user spoke."""
        spoken = [index for index, message in enumerate(self.messages) if message.role == "user"]
        return spoken[-1] if spoken else None

    @property
    def results(self) -> list[Message]:
        """The tool results at the end of the conversation; empty where something else is last."""
        count = 0
        for message in reversed(self.messages):
            if message.role != "tool":
                break
            count += 1

        return self.messages[len(self.messages) - count :]

    def called_name(self, result: Message) -> str:
        """Return the name of the tool that gave this result, or the best name that is known for it."""
        for message in reversed(self.messages):
            for call in message.calls:
                if call.id == result.tool_call_id:
                    return call.function.name

        return result.name or result.tool_call_id or "tool"

    def count_tokens(self) -> int:
        """Return the prompt's tokens: one per message, plus the pieces of its text and of its tool calls."""
        total = 0
        for message in self.messages:
            total += 1 + count_pieces(message.text)
            for call in message.calls:
                total += count_pieces(call.function.name) + count_pieces(call.function.arguments)

        return total


def read_chat(request: Generate) -> Chat:
    """Return the request's conversation and tools. Raises Refused where they are not in the chat form."""
    try:
        return msgspec.convert({"messages": request.messages, "tools": request.tools}, Chat)
    except msgspec.ValidationError as error:
        message = f"The request is not in the form of a chat: {error}. Correct the field that is named."
        raise Refused(Fault(code="invalid_request", message=message)) from error
