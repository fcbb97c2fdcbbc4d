"""How models write tool calls: one row of data per format, and which row a chat template belongs to.

    opening ─ before_name NAME before_arguments ARGUMENTS after ─ between ─ (the next call) ─ closing

Each text is what the model was trained to write, blank for blank; readers forgive other blanks. The row
says what is written, `abilities` what the template at hand can show of a conversation.
"""
# ruff: noqa: RUF001 - DeepSeek's marks have a wide bar

import dataclasses
import re
from typing import Literal, NamedTuple

from runtime.backends.engines.llama.calls.abilities import PROBED_TOOL, Abilities, probe_abilities
from runtime.backends.engines.llama.reasoning import Tags, find_tags

ANY = "\0"
"""In the texts of a form: one letter or digit of the model's choice."""

_UNKNOWN = Abilities()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One way to write tool calls, as one template uses it."""

    name: str
    trigger: str = ""
    """What a call begins with, wherever it stands; empty where a call can only begin the answer."""
    opening: str = ""
    before_name: str
    before_arguments: str
    after: str = ""
    between: str = ""
    closing: str = ""
    shape: Literal["json", "tags"] = "json"
    """Whether arguments are a JSON object, or one tag per parameter."""
    channels: bool = False
    """Whether an answer is made of named channels (harmony)."""
    lead: str = ""
    """A token that may stand before a call that has no trigger."""
    is_single: bool = False
    """Whether an answer ends with its first call."""
    has_short_ids: bool = False
    """Whether the template wants ids of nine letters and digits."""
    result_role: str = "tool"
    """The role of a tool's result."""
    lists_tools_in_system: bool = False
    """Whether the template takes the tools from the system message, as text."""
    reasoning: Tags | None = None
    abilities: Abilities = _UNKNOWN

    def head(self, name: str, *, is_first: bool) -> str:
        """Return what comes before the arguments of a call."""
        start = self.opening if is_first else self.between
        return f"{start}{self.before_name}{name}{self.before_arguments}"


ENVELOPE = Form(
    name="envelope",
    trigger="<tool_call>",
    before_name='<tool_call>\n{"name": "',
    before_arguments='", "arguments": ',
    after="}\n</tool_call>",
    between="\n",
)
"""Lar's own, for templates that know no tools: most models have seen it, and its grammar is simple."""

CUSTOM_TRIGGER, CUSTOM_AFTER = "<custom_call", "\n</custom_call>"


def custom_head(name: str) -> str:
    """Return what comes before the input of a custom tool: such calls look the same in every form."""
    return f'{CUSTOM_TRIGGER} name="{name}">\n'


class Row(NamedTuple):
    """A form, and how to know it by the source of a template."""

    form: Form
    present: tuple[str, ...]


_ARRAY_NAME, _ARRAY_ARGUMENTS = '{"name": "', '", "arguments": '

_DEEPSEEK = Form(
    name="deepseek",
    trigger="<｜tool▁calls▁begin｜>",
    opening="<｜tool▁calls▁begin｜>",
    before_name="<｜tool▁call▁begin｜>function<｜tool▁sep｜>",
    before_arguments="\n```json\n",
    after="\n```<｜tool▁call▁end｜>",
    between="\n",
    closing="<｜tool▁calls▁end｜>",
)

_MISTRAL = Form(
    name="mistral",
    trigger="[TOOL_CALLS]",
    opening="[TOOL_CALLS][",
    before_name=_ARRAY_NAME,
    before_arguments=_ARRAY_ARGUMENTS,
    after="}",
    between=", ",
    closing="]",
    has_short_ids=True,
)

_MISTRAL_NAMED = dataclasses.replace(
    _MISTRAL,
    name="mistral-named",
    opening="",
    before_name="[TOOL_CALLS]",
    before_arguments="[ARGS]",
    after="",
    between="",
    closing="",
)

_PIPED = Form(
    name="granite",
    trigger="<|tool_call|>",
    opening="<|tool_call|>[",
    before_name=_ARRAY_NAME,
    before_arguments=_ARRAY_ARGUMENTS,
    after="}",
    between=", ",
    closing="]",
    result_role="tool_response",
)

ROWS = (
    Row(
        Form(
            name="harmony",
            trigger="<|channel|>commentary to=functions.",
            before_name="<|channel|>commentary to=functions.",
            before_arguments=" <|constrain|>json<|message|>",
            channels=True,
            is_single=True,
        ),
        present=("<|channel|>", "<|message|>", "functions."),
    ),
    Row(_DEEPSEEK, present=("<｜tool▁calls▁begin｜>", "```json")),
    Row(
        dataclasses.replace(
            _DEEPSEEK,
            name="deepseek-3.1",
            before_name="<｜tool▁call▁begin｜>",
            before_arguments="<｜tool▁sep｜>",
            after="<｜tool▁call▁end｜>",
            between="",
        ),
        present=("<｜tool▁calls▁begin｜>",),
    ),
    Row(
        Form(
            name="qwen-coder",
            trigger="<tool_call>",
            before_name="<tool_call>\n<function=",
            before_arguments=">\n",
            after="</function>\n</tool_call>",
            between="\n",
            shape="tags",
        ),
        present=("<tool_call>", "<function=", "<parameter="),
    ),
    Row(
        dataclasses.replace(ENVELOPE, name="hermes"),
        present=("<tool_call>",),
    ),
    Row(
        dataclasses.replace(
            _MISTRAL_NAMED,
            name="mistral-numbered",
            before_arguments=f"[CALL_ID]{ANY * 9}[ARGS]",
        ),
        present=("[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"),
    ),
    Row(_MISTRAL_NAMED, present=("[TOOL_CALLS]", "[ARGS]")),
    Row(
        dataclasses.replace(_MISTRAL, name="mistral-spaced", opening="[TOOL_CALLS] ["),
        present=("[TOOL_CALLS] [",),
    ),
    Row(_MISTRAL, present=("[TOOL_CALLS]",)),
    Row(
        dataclasses.replace(_PIPED, name="phi", closing="]<|/tool_call|>", lists_tools_in_system=True),
        present=("<|tool|>", "<|/tool|>"),
    ),
    Row(_PIPED, present=("<|tool_call|>",)),
    Row(
        Form(
            name="llama",
            before_name='{"name": "',
            before_arguments='", "parameters": ',
            after="}",
            lead="<|python_tag|>",
            is_single=True,
        ),
        present=("<|start_header_id|>", '"parameters": '),
    ),
)


def find_form(template_source: str) -> Form:
    """Return how a model with this template writes calls: in its own way, or in Lar's envelope."""
    abilities = probe_abilities(template_source)
    reasoning = find_tags(template_source)
    row = next((row for row in ROWS if _is_of(row, template_source, abilities)), None)
    if row is not None:
        return dataclasses.replace(row.form, reasoning=reasoning, abilities=abilities)

    # What the template has for tools would not go with the envelope; many write any role that they are given.
    abilities = abilities._replace(has_tools=False, has_calls=False, has_results=False)
    return dataclasses.replace(ENVELOPE, reasoning=reasoning, abilities=abilities)


def _is_of(row: Row, source: str, abilities: Abilities) -> bool:
    """Whether the source has the marks of the row, and its calls look so where it writes any."""
    if not all(each in source for each in row.present):
        return False

    return not abilities.shown_call or row.form.channels or _has_call(abilities.shown_call, row.form)


def _has_call(shown: str, form: Form) -> bool:
    head = "".join(form.head(PROBED_TOOL, is_first=True).split())
    pattern = re.escape(head).replace(re.escape(ANY), "[a-zA-Z0-9]")
    return re.search(pattern, "".join(shown.split())) is not None
