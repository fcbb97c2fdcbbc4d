"""What a request with tools or a shaped answer becomes: messages to show, a grammar, and a reader. Pure."""

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.backends.engines.llama.calls.forms import ENVELOPE, Form
from runtime.backends.engines.llama.calls.harmony import ChannelSplitter
from runtime.backends.engines.llama.calls.heads import Tool
from runtime.backends.engines.llama.calls.history import instruct, tell_history
from runtime.backends.engines.llama.calls.larks import MOST_CALLS, Wanted, reveal, write_lark
from runtime.backends.engines.llama.calls.literals import Traits
from runtime.backends.engines.llama.calls.notes import ask_for_json, list_customs, list_functions
from runtime.backends.engines.llama.calls.parser import CallParser
from runtime.backends.engines.llama.calls.reader import Laws, Reader, Splitter
from runtime.backends.engines.llama.calls.tools import Toolbox, decide_toolbox
from runtime.backends.engines.llama.grammar.schema import bound_schema
from runtime.backends.engines.llama.grammar.validity import Validity
from runtime.backends.engines.llama.reasoning import ReasoningSplitter
from runtime.backends.protocol import Fault, Generate


def new_call_id() -> str:
    """Return an id that no other call has, as OpenAI's look."""
    return f"call_{secrets.token_urlsafe(18)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Calling:
    """What a request becomes, before it is rendered."""

    messages: list[dict[str, Any]]
    """As the template is to get them."""
    template_tools: list[dict[str, Any]] | None
    """For the template; None where it knows none, or is to show none."""
    reveals: tuple[str, ...]
    """Control tokens that must show in the decoded text."""
    form: Form
    wanted: Wanted
    traits: Traits
    laws: Laws
    stops: tuple[str, ...] = ()

    def grammar(self, opens_reasoning: bool) -> str | None:
        """Return the Lark grammar of the whole answer; None where any text will do."""
        return write_lark(self.wanted, self.form, self.traits, opens_reasoning=opens_reasoning)

    def reader(
        self,
        opens_reasoning: bool,
        new_id: Callable[[], str] = new_call_id,
    ) -> Reader:
        """Return what makes sense of the answer."""
        tools = [Tool(each.name, each.is_custom, each.texts) for each in self.wanted.tools]
        is_eager = self.wanted.must_call
        parser = CallParser(self.form, tools, new_id, is_eager=is_eager) if tools else None
        return Reader(
            splitter=_splitter(self.form, opens_reasoning=opens_reasoning),
            parser=parser,
            stops=self.stops,
            laws=self.laws,
        )


def decide_calling(request: Generate, form: Form, traits: Traits) -> Calling | Fault:
    """Return how the request is told to the model and read from it, or why it cannot be."""
    is_raw = request.prompt is not None
    if is_raw:
        form = ENVELOPE  # nothing in a continuation has a meaning, and nobody reasons

    toolbox = Toolbox() if is_raw else decide_toolbox(request)
    if isinstance(toolbox, Fault):
        return toolbox

    asked = _asked_schema(request)
    schema = None if asked is None or toolbox.must_call else bound_schema(asked, param=_FORMAT)
    if isinstance(schema, Fault):
        return schema

    law = None if asked is None or schema is None else Validity(asked)
    if law is not None and law.refusal is not None:
        message = f"The schema of the answer cannot be used: {law.refusal}"
        return Fault(code="invalid_json_schema", message=message, param=_FORMAT)

    return Calling(
        messages=[] if is_raw else _tell(request, form, toolbox),
        template_tools=list(toolbox.shown) if toolbox.shown and form.abilities.has_tools else None,
        reveals=() if is_raw else reveal(form, traits),
        form=form,
        wanted=Wanted(
            tools=toolbox.callable,
            must_call=toolbox.must_call,
            most_calls=1 if _is_single(request) else MOST_CALLS,
            schema=schema,
            may_think=request.reasoning_effort != "none",
        ),
        traits=traits,
        laws=Laws(
            tools=toolbox.laws,
            answer=law,
            must_call=toolbox.must_call,
        ),
        stops=request.sampling.stop,
    )


def _is_single(request: Generate) -> bool:
    """Whether one call is the most: asked for so, or by naming the one tool that must be called."""
    return not request.parallel_tool_calls or (
        request.tool_mode == "required" and len(request.tool_names) == 1
    )


_FORMAT = "response_format.json_schema.schema"


def _asked_schema(request: Generate) -> dict[str, Any] | None:
    if request.format_type == "json_object":
        return {"type": "object"}

    return (request.format_schema or {}) if request.format_type == "json_schema" else None


def _tell(request: Generate, form: Form, toolbox: Toolbox) -> list[dict[str, Any]]:
    """Return the messages, with notes on what the template cannot tell: tools first, they change least."""
    messages = tell_history(request.messages, form)
    functions = [tool["function"] for tool in toolbox.shown]
    is_told = form.abilities.has_tools
    if functions and form.lists_tools_in_system and not is_told:
        messages, is_told = _list_in_system(messages, functions), True

    notes = [[] if is_told else list_functions(functions, form), list_customs(toolbox.customs)]
    if request.format_type != "text":
        notes.append(ask_for_json(request.format_schema))

    return instruct(messages, form, notes)


def _list_in_system(
    messages: list[dict[str, Any]], functions: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    listed = json.dumps(functions, ensure_ascii=False)
    if messages and messages[0].get("role") in ("system", "developer"):
        return [{**messages[0], "role": "system", "tools": listed}, *messages[1:]]

    return [{"role": "system", "content": "", "tools": listed}, *messages]


def _splitter(form: Form, *, opens_reasoning: bool) -> Splitter | None:
    if form.channels:
        return ChannelSplitter()

    return (
        None if form.reasoning is None else ReasoningSplitter(is_inside=opens_reasoning, tags=form.reasoning)
    )
