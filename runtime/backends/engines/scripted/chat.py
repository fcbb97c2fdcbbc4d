"""What the scripted engine reads out of a request: messages and tools as narrow structs.

The wire carries them as plain objects in the OpenAI chat form; whatever the engine does not look at is
ignored here.
"""

from typing import Literal

import msgspec

from runtime.backends.engines.scripted.pieces import split_pieces
from runtime.backends.protocol import Fault, Generate, RawPrompt

PICTURE = "<|picture|>"
"""The one token that a picture takes."""
BEGINNING = "<|beginning|>"
"""The one token of an empty prompt."""


class Refused(Exception):
    """The request cannot be served as it stands; `fault` tells the person why and what to do."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a message's content: its text counts, or that it is a picture."""

    text: str = ""
    type: str = "text"

    @property
    def is_picture(self) -> bool:
        """Whether it shows something."""
        return self.type == "image"


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
    def pictures(self) -> int:
        """How many pictures the message holds."""
        return sum(part.is_picture for part in self.content) if isinstance(self.content, list) else 0

    @property
    def calls(self) -> list[EarlierCall]:
        """The tool calls that the message holds."""
        return self.tool_calls or []


class Function(msgspec.Struct, frozen=True, kw_only=True):
    """A function that may be called."""

    name: str
    description: str | None = None
    parameters: dict[str, object] | None = None


class Custom(msgspec.Struct, frozen=True, kw_only=True):
    """A tool whose input is text of a form."""

    name: str
    description: str | None = None
    syntax: Literal["text", "lark", "regex"] = "text"
    definition: str | None = None


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """One offered tool, of either kind."""

    function: Function | None = None
    custom: Custom | None = None


class Chat(msgspec.Struct, frozen=True, kw_only=True):
    """The conversation and the tools of one request."""

    messages: list[Message]
    tools: list[Tool]
    raw: RawPrompt | None = None
    """What stands for the messages, if it is no conversation."""

    @property
    def offered(self) -> list[Function | Custom]:
        """What may be called, in the order of the tools."""
        return [each for tool in self.tools if (each := tool.function or tool.custom)]

    @property
    def asked_param(self) -> str:
        """What the request calls the text that was asked last."""
        return "prompt" if self.raw is not None else f"messages[{self.asked_index}].content"

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

    @property
    def rounds_made(self) -> int:
        """How often tools were called, and gave results, since the last message of a user."""
        if not self.results or self.asked_index is None:
            return 0
        return sum(bool(each.calls) for each in self.messages[self.asked_index :])

    def called_name(self, result: Message) -> str:
        """Return the name of the tool that gave this result, or the best name that is known for it."""
        for message in reversed(self.messages):
            for call in message.calls:
                if call.id == result.tool_call_id:
                    return call.function.name

        return result.name or result.tool_call_id or "tool"

    def list_pieces(self) -> list[str]:
        """Return the prompt's tokens: per message one for its role, then its pictures, text and calls."""
        if self.raw is not None:
            pieces = [*split_pieces(self.raw.text or ""), *split_pieces(self.raw.suffix or "")]
            return pieces or [BEGINNING]

        pieces = []
        for message in self.messages:
            pieces += [f"<|{message.role}|>", *[PICTURE] * message.pictures, *split_pieces(message.text)]
            for call in message.calls:
                pieces += [*split_pieces(call.function.name), *split_pieces(call.function.arguments)]

        return pieces


def read_chat(request: Generate) -> Chat:
    """Return the request's conversation and tools. Raises Refused where they are not in the chat form.

    A raw prompt stands for the one message of a user.
    """
    raw = request.prompt
    messages = request.messages if raw is None else [{"role": "user", "content": raw.text or ""}]
    try:
        chat = msgspec.convert({"messages": messages, "tools": request.tools}, Chat)
        return msgspec.structs.replace(chat, raw=raw)
    except msgspec.ValidationError as error:
        message = f"The request is not in the form of a chat: {error}. Correct the field that is named."
        raise Refused(Fault(code="invalid_request", message=message)) from error
