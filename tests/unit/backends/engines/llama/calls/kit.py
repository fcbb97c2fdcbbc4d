"""Families of chat templates with what their models were seen to write, and words to ask with."""

import functools
import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from runtime.backends.engines.llama.calls.calling import Calling, decide_calling
from runtime.backends.engines.llama.calls.forms import Form, find_form
from runtime.backends.engines.llama.calls.reader import Parts, Reader
from runtime.backends.engines.llama.masking import Control
from runtime.backends.engines.llama.template import ChatTemplate, Rendered
from runtime.backends.protocol import Fault, Generate, ToolCallPiece

FIXTURES = Path(__file__).parent / "fixtures"


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """One answer as a model wrote it, and what it means."""

    name: str
    text: str
    opens_reasoning: bool
    is_cut: bool
    says: str
    reasoning: str
    calls: list[tuple[str, str]]
    whole_calls: int
    follows_grammar: bool
    """Whether a model that is held to the grammar of `auto` can write it."""
    is_rendered_alike: bool
    """Whether the template writes the parsed answer as the model did."""


class _Outputs(msgspec.Struct, frozen=True, kw_only=True):
    controls: list[str]
    outputs: list[Output]


class Family(NamedTuple):
    """A chat template, and answers in its form."""

    name: str
    source: str
    prompt: str
    controls: list[str]
    outputs: list[Output]
    form: Form

    @property
    def template(self) -> ChatTemplate:
        """The template with the family's control tokens."""
        return _template(self.source, tuple(self.controls))


@functools.cache
def _template(source: str, controls: tuple[str, ...]) -> ChatTemplate:
    return ChatTemplate(source, bos="<s>", eos="</s>", controls=[Control(text) for text in controls])


class Vocabulary:
    """Bytes, then the control tokens, then the end."""

    def __init__(self, controls: Sequence[str]) -> None:
        self._controls = list(controls)

    def is_control(self, text: str) -> bool:
        return text in self._controls

    def token_of(self, text: str) -> int:
        return 256 + self._controls.index(text)


class _Conversation(msgspec.Struct, frozen=True):
    tools: list[dict[str, Any]]
    messages: list[dict[str, Any]]


CONVERSATION = msgspec.json.decode((FIXTURES / "conversation.json").read_bytes(), type=_Conversation)


def _read(folder: Path) -> Family:
    source = (folder / "template.jinja").read_text(encoding="utf-8")
    told = msgspec.json.decode((folder / "outputs.json").read_bytes(), type=_Outputs)
    prompt = (folder / "prompt.txt").read_text(encoding="utf-8")
    return Family(folder.name, source, prompt, told.controls, told.outputs, find_form(source))


FAMILIES = {
    folder.name: _read(folder) for folder in sorted(FIXTURES.iterdir()) if (folder / "outputs.json").is_file()
}
OUTPUTS = [(family, output) for family in FAMILIES.values() for output in family.outputs]
OUTPUT_NAMES = [f"{family.name}: {output.name}" for family, output in OUTPUTS]


def ask(**changes: Any) -> Generate:
    """Return the conversation as a request."""
    fields: dict[str, Any] = {"messages": CONVERSATION.messages, "tools": CONVERSATION.tools} | changes
    return Generate(seq=1, **fields)


def decide(family: Family, request: Generate | None = None) -> Calling:
    """Return what the request becomes for the family."""
    calling = decide_calling(request or ask(), family.form, Vocabulary(family.controls))
    assert isinstance(calling, Calling), calling
    return calling


def refuse(family: Family, request: Generate) -> Fault:
    """Return why the request is refused."""
    fault = decide_calling(request, family.form, Vocabulary(family.controls))
    assert isinstance(fault, Fault)
    return fault


def render(family: Family, request: Generate | None = None) -> Rendered:
    """Return the prompt of the request."""
    calling = decide(family, request)
    return family.template.render(calling.messages, tools=calling.template_tools)


def text_of(rendered: Rendered) -> str:
    """Return the prompt as one text."""
    return "".join(piece.text for piece in rendered.pieces)


def numbers() -> Callable[[], str]:
    """Return a source of ids that are the same in every test."""
    count = itertools.count()
    return lambda: f"call_{next(count)}"


def read(reader: Reader, pieces: Sequence[str], *, is_cut: bool = False) -> Parts:
    """Return all that the reader made of the pieces, each call as one piece."""
    parts = [*map(reader.feed, pieces), reader.flush(is_cut=is_cut)]
    calls: dict[int, ToolCallPiece] = {}
    for piece in itertools.chain.from_iterable(part.calls for part in parts):
        if piece.index in calls:
            assert piece.id is None
            assert piece.name is None
            whole = calls[piece.index]
            calls[piece.index] = msgspec.structs.replace(whole, arguments=whole.arguments + piece.arguments)
        else:
            assert piece.id is not None
            assert piece.name is not None
            assert piece.index == len(calls)
            calls[piece.index] = piece

    return Parts(
        "".join(part.text for part in parts), "".join(part.reasoning for part in parts), tuple(calls.values())
    )


def call_message(calls: Sequence[tuple[str, str]], content: str | None = None) -> dict[str, Any]:
    """Return an assistant's message with these calls."""
    told = [
        {"id": f"abcDEF12{at}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for at, (name, arguments) in enumerate(calls)
    ]
    return {"role": "assistant", "content": content, "tool_calls": json.loads(json.dumps(told))}
