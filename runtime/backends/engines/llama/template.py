"""Renders a conversation the way a model was trained to read it.

The template comes with the weights and is code, so it runs in Jinja's sandbox; what comes with the request
is masked while it runs (see `masking`). Reads the clock only where a template asks for today's date.
"""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from jinja2 import TemplateError, nodes
from jinja2.exceptions import TemplateSyntaxError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from runtime.backends.engines.llama.masking import Control, Mask, Piece
from runtime.backends.engines.llama.reasoning import CLOSER, OPENER

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""The most common form, for weights that carry no template."""

_RENDER_ERRORS = (
    TemplateError,
    TypeError,
    ValueError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RecursionError,
)
"""What a template can raise over messages that it does not expect: it is a program with its own bugs."""


class TemplateBroken(Exception):
    """The template itself cannot be used, whatever the messages."""


class TemplateRefused(Exception):
    """The template does not accept these messages; the text is its own message."""


class Rendered(NamedTuple):
    """A prompt as text."""

    pieces: list[Piece]
    opens_reasoning: bool
    """Whether the prompt ends inside a <think> block, so that the model begins with its reasoning."""


class _GenerationBlock(Extension):
    """`{% generation %}…{% endgeneration %}` marks answers for training; for us it is its contents."""

    tags = {"generation"}  # noqa: RUF012 - Jinja declares it so

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class ChatTemplate:
    """One model's template, compiled. Raises TemplateBroken."""

    def __init__(
        self,
        source: str,
        *,
        bos: str = "",
        eos: str = "",
        controls: Sequence[Control] = (),
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._now = now
        self._specials = {"bos_token": bos, "eos_token": eos}
        environment = self._environment()
        try:
            tree = environment.parse(source)
            self._template = environment.from_string(source)
        except TemplateSyntaxError as error:
            raise TemplateBroken(f"line {error.lineno}: {error.message}") from error

        self._knows_developer = "developer" in source
        self.has_reasoning = OPENER in source or CLOSER in source
        """Whether the model may begin with a <think> block."""
        self._mask = Mask(controls, markers=[str(each.value) for each in tree.find_all(nodes.Const)])

    def render(self, messages: Sequence[dict[str, Any]], reasoning_effort: str | None = None) -> Rendered:
        """Return the prompt that asks for the next answer. Raises TemplateRefused."""
        wanted: dict[str, Any] = {}
        if reasoning_effort is not None:
            wanted = {"reasoning_effort": reasoning_effort, "enable_thinking": reasoning_effort != "none"}

        try:
            hidden = [self._mask.hide(self._normal(message)) for message in messages]
            text = self._template.render(
                messages=hidden, add_generation_prompt=True, **self._specials, **wanted
            )
        except _RENDER_ERRORS as error:
            raise TemplateRefused(str(error) or type(error).__name__) from error

        opens_reasoning = self.has_reasoning and text.rstrip().endswith(OPENER)
        return Rendered(self._mask.split(text), opens_reasoning)

    def _normal(self, message: dict[str, Any]) -> dict[str, Any]:
        """Content is a string, and the role one that the template knows."""
        message = {**message, "content": message.get("content") or ""}
        if message.get("role") == "developer" and not self._knows_developer:
            message["role"] = "system"

        return message

    def _environment(self) -> ImmutableSandboxedEnvironment:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _GenerationBlock]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = lambda form: self._now().strftime(form)
        return environment


def _to_json(
    value: Any,
    ensure_ascii: bool = False,  # noqa: ARG001, FBT - masked characters must stay what they are
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as templates expect it: not escaped for HTML, unlike Jinja's own filter."""
    return json.dumps(value, ensure_ascii=False, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> None:
    raise TemplateError(message)
