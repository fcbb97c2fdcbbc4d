"""Writes the grammar of a whole answer, in llguidance's dialect of Lark. Pure.

    start: think? ( free text | free text up to a trigger, then calls | calls | JSON )

A control token stands in a grammar by its number: the text of an answer can neither name nor contain it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from runtime.backends.engines.llama.calls.bodies import Ruled, write_arguments
from runtime.backends.engines.llama.calls.forms import CUSTOM_AFTER, CUSTOM_TRIGGER, Form, custom_head
from runtime.backends.engines.llama.calls.harmony import CHANNEL_MARKS
from runtime.backends.engines.llama.calls.literals import (
    ANYTHING,
    Traits,
    as_json,
    escape,
    marks_of,
    spell,
)

MOST_CALLS = 32
"""In one answer: a model that has lost its way writes calls without end."""


class Wanted(NamedTuple):
    """What the answer may be."""

    tools: Sequence[Ruled] = ()
    must_call: bool = False
    most_calls: int = MOST_CALLS
    schema: dict[str, Any] | None = None
    """Of the answer where it is JSON."""
    may_think: bool = True


def write_lark(wanted: Wanted, form: Form, traits: Traits, *, opens_reasoning: bool) -> str | None:
    """Return the grammar; None where any text will do."""
    if not wanted.tools and wanted.schema is None:
        return None

    return _Writer(wanted, form, traits).write(opens_reasoning=opens_reasoning)


def reveal(form: Form, traits: Traits) -> tuple[str, ...]:
    """Return the control tokens that calls and reasoning are made of."""
    texts = [form.head("", is_first=True), form.head("", is_first=False), form.after, form.closing, form.lead]
    texts += [] if form.reasoning is None else [*form.reasoning]
    texts += CHANNEL_MARKS if form.channels else []
    return tuple(dict.fromkeys(mark for text in texts for mark in marks_of(text, traits)))


class _Writer:
    """Collects the rules of one grammar."""

    def __init__(self, wanted: Wanted, form: Form, traits: Traits) -> None:
        self._wanted = wanted
        self._form = form
        self._traits = traits
        self._functions = [tool for tool in wanted.tools if not tool.is_custom]
        self._customs = [tool for tool in wanted.tools if tool.is_custom]
        self._rules: list[str] = []
        self._more = (1 if form.is_single else wanted.most_calls) - 1
        """Calls that may follow the first."""

    def write(self, *, opens_reasoning: bool) -> str:
        """Return the grammar."""
        before = self._analysis() if self._form.channels else self._thinking(opens_reasoning=opens_reasoning)
        for at, tool in enumerate(self._functions):
            self._rule(f"arguments_{at}", *write_arguments(tool, self._form, f"arguments_{at}"))

        for at, tool in enumerate(self._customs):
            self._custom_rules(at, tool)

        if self._wanted.must_call or self._wanted.schema is not None:
            bodies = self._calls()
        else:
            bodies = self._channel_texts() if self._form.channels else self._texts()

        if self._wanted.schema is not None:
            self._rule("answer", f"{self._final()}{as_json(self._wanted.schema)}")
            bodies.append("answer")

        return "\n".join([f"start: {before}({' | '.join(bodies)})", *self._rules, ""])

    def _rule(self, name: str, body: str, *others: str) -> None:
        self._rules += [f"{name}: {body}", *others]

    # ---- reasoning

    def _thinking(self, *, opens_reasoning: bool) -> str:
        tags = self._form.reasoning
        if tags is None or not (self._wanted.may_think or opens_reasoning):
            return ""

        start = "" if opens_reasoning else self._quote(tags.opener)
        self._rule("think", f"{start} {self._up_to('thought', tags.closer)} GAP?", r"GAP: /\s{1,4}/")
        return "think " if opens_reasoning else "think? "

    def _analysis(self) -> str:
        if not self._wanted.may_think:
            return ""

        thought = self._up_to("thought", "<|end|>")
        start, end = self._quote("<|channel|>analysis<|message|>"), self._quote("<|start|>assistant")
        self._rule("think", f"{start} {thought} {end}")
        return "think? "

    def _final(self) -> str:
        return f"{self._quote('<|channel|>final<|message|>')} " if self._form.channels else ""

    # ---- free text, and calls that a trigger begins

    def _texts(self) -> list[str]:
        self._rule("TEXT", self._text_but(self._forbidden()))
        bodies = ["TEXT"]
        if self._functions and self._form.trigger:
            bodies.append(f"{self._said('said', self._form.trigger)} {self._function_calls(is_led=True)}")
        elif self._functions:
            bodies.append(self._function_calls(is_led=False))
            if self._traits.is_control(self._form.lead):
                bodies.append(f"{self._quote(self._form.lead)} {bodies[-1]}")

        if self._customs:
            bodies.append(f"{self._said('said_custom', CUSTOM_TRIGGER)} {self._custom_calls(is_led=True)}")

        return bodies

    def _forbidden(self) -> list[str]:
        """Return what free text must not be, since it is something else."""
        triggers = [self._form.trigger] if self._form.trigger and self._functions else []
        triggers += [CUSTOM_TRIGGER] if self._customs else []
        heads = (
            []
            if self._form.trigger
            else [self._form.head(each.name, is_first=True) for each in self._functions]
        )
        return [
            *(f"{ANYTHING}{escape(trigger)}{ANYTHING}" for trigger in triggers),
            *(f"{escape(head)}{ANYTHING}" for head in heads),
            *self._thoughts(),
        ]

    def _thoughts(self) -> list[str]:
        tags = self._form.reasoning
        return [] if tags is None else [rf"\s*{escape(tags.opener)}{ANYTHING}"]

    def _said(self, name: str, trigger: str) -> str:
        """Return how free text goes on to the trigger."""
        if self._traits.is_control(trigger):
            return f"TEXT {self._quote(trigger)}"

        return self._up_to(name, trigger, but=self._thoughts())

    def _up_to(self, name: str, mark: str, but: Sequence[str] = ()) -> str:
        """Return how any text goes on to the mark."""
        upper = name.upper()
        if self._traits.is_control(mark):
            self._rule(upper, self._text_but(but))
            return f"{upper} {self._quote(mark)}"

        self._rules.append(f"{name}[lazy]: {upper}")
        self._rule(upper, self._text_but(but, end=escape(mark)))
        return name

    def _text_but(self, but: Sequence[str], end: str = "") -> str:
        return f"/{ANYTHING}{end}/" + "".join(f" & ~/{each}/" for each in but)

    def _channel_texts(self) -> list[str]:
        opened = f'{self._quote("<|channel|>")} ("final" | "commentary") {self._quote("<|message|>")}'
        said = self._up_to("said", "<|end|>")
        start, end = self._quote("<|channel|>commentary<|message|>"), self._quote("<|start|>assistant")
        self._rule("TEXT", self._text_but(()))
        self._rule("preamble", f"{start} {said} {end}")
        return [f"{opened} TEXT", *(f"preamble? {each}" for each in self._calls())]

    # ---- calls

    def _calls(self) -> list[str]:
        """Return the ways in which an answer is calls and nothing else."""
        bodies: list[str] = []
        if self._functions:
            is_mixed = self._wanted.schema is not None and bool(self._form.lead)
            lead = f"{self._quote(self._form.lead)} " if is_mixed else ""
            bodies.append(f"{lead}{self._function_calls(is_led=False)}")

        return [*bodies, self._custom_calls(is_led=False)] if self._customs else bodies

    def _function_calls(self, *, is_led: bool) -> str:
        skipped = len(self._form.trigger) if is_led else 0
        self._rule("first", self._each_function(skipped, is_first=True))
        parts = ["first"]
        if self._more:
            self._rule("later", self._each_function(0, is_first=False))
            parts.append(f"later{{0,{self._more}}}")

        return " ".join([*parts, self._quote(self._form.closing), self._custom_tail()]).strip()

    def _each_function(self, skipped: int, *, is_first: bool) -> str:
        after = self._quote(self._form.after)
        heads = [self._form.head(tool.name, is_first=is_first)[skipped:] for tool in self._functions]
        return " | ".join(f"{self._quote(head)} arguments_{at} {after}" for at, head in enumerate(heads))

    def _custom_calls(self, *, is_led: bool) -> str:
        skipped = len(CUSTOM_TRIGGER) if is_led else 0
        first = " | ".join(
            f"{self._quote(custom_head(tool.name)[skipped:])} input_{at}"
            for at, tool in enumerate(self._customs)
        )
        return f"({first}) {self._custom_tail()}".strip()

    def _custom_tail(self) -> str:
        if not self._customs or not self._more:
            return ""

        return f'("\\n" custom){{0,{self._more}}}'

    def _custom_rules(self, at: int, tool: Ruled) -> None:
        """Add the rule of the tool's input up to its end, and once the rule of any further call."""
        if tool.lark is None:
            self._rule(f"input_{at}", self._up_to(f"raw_{at}", CUSTOM_AFTER))
        else:
            self._rule(f"input_{at}", f"%lark {{\n{tool.lark}\n}} {self._quote(CUSTOM_AFTER)}")

        if at == 0 and self._more:
            heads = (
                f"{self._quote(custom_head(each.name))} input_{place}"
                for place, each in enumerate(self._customs)
            )
            self._rule("custom", " | ".join(heads))

    def _quote(self, text: str) -> str:
        return spell(text, self._traits)
