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

from runtime.backends.engines.llama.masking import Control, Mask, Piece, Woven
from runtime.backends.engines.llama.reasoning import find_tags

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""The most common form, for weights that carry no template."""

MEDIA = "<__media__>"
"""Stands in a trusted piece of a prompt where a picture belongs."""

_CHANNEL_EFFORTS = {"none": "low", "minimal": "low", "xhigh": "high"}
"""Models that answer in channels were trained on low, medium and high alone."""

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


class PicturesRefused(Exception):
    """The messages hold a picture, and the model cannot see."""


class TemplateRefused(Exception):
    """The template does not accept these messages; the text is its own message."""


class Rendered(NamedTuple):
    """A prompt as text."""

    pieces: list[Piece]
    opens_reasoning: bool
    """Whether the prompt ends inside a block of reasoning, so that the model begins with it."""
    pictures: tuple[bytes, ...] = ()
    """One for each `MEDIA` in a trusted piece, in their order."""


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
        self._has_channels = "<|channel|>" in source
        self._knows_thinking = "thinking" in source
        self.reasoning = find_tags(source)
        """What stands around the model's reasoning; None where the template knows none."""
        self._mask = Mask(
            [*controls, Control(MEDIA)], markers=[str(each.value) for each in tree.find_all(nodes.Const)]
        )

    @property
    def has_reasoning(self) -> bool:
        """Whether the model may begin with a block of reasoning."""
        return self.reasoning is not None

    def render(
        self,
        messages: Sequence[dict[str, Any]],
        reasoning_effort: str | None = None,
        tools: Sequence[dict[str, Any]] | None = None,
        *,
        can_see: bool = False,
    ) -> Rendered:
        """Return the prompt that asks for the next answer. Raises TemplateRefused and PicturesRefused."""
        pictures: list[bytes] = []
        normal = [self._normal(message, pictures) for message in messages]
        if pictures and not can_see:
            raise PicturesRefused("This model cannot see pictures.")

        wanted: dict[str, Any] = {}
        if reasoning_effort is not None:
            efforts = _CHANNEL_EFFORTS if self._has_channels else {}
            wanted = {
                "reasoning_effort": efforts.get(reasoning_effort, reasoning_effort),
                "enable_thinking": reasoning_effort != "none",
                "thinking": reasoning_effort != "none",
            }

        hidden = self._mask.hide(normal)
        try:
            text = self._write(hidden, None if tools is None else self._mask.hide(tools), wanted)
        except _RENDER_ERRORS as error:
            try:
                text = self._write(hidden, [], wanted) if tools is None else ""
            except _RENDER_ERRORS:
                text = ""

            if not text:
                raise TemplateRefused(str(error) or type(error).__name__) from error

        opens_reasoning = self.reasoning is not None and text.rstrip().endswith(self.reasoning.opener)
        return Rendered(self._mask.split(text), opens_reasoning, tuple(pictures))

    def _write(self, messages: Any, tools: Any, wanted: dict[str, Any]) -> str:
        return self._template.render(
            messages=messages, tools=tools, add_generation_prompt=True, **self._specials, **wanted
        )

    def _normal(self, message: dict[str, Any], pictures: list[bytes]) -> dict[str, Any]:
        """Content is a text, and the role one that the template knows."""
        message = {**message, "content": _flat(message.get("content"), pictures)}
        if message.get("role") == "developer" and not self._knows_developer:
            message["role"] = "system"

        if self._knows_thinking and message.get("reasoning_content"):
            message.setdefault("thinking", message["reasoning_content"])

        return message

    def _environment(self) -> ImmutableSandboxedEnvironment:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _GenerationBlock]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = lambda form: self._now().strftime(form)
        return environment


def _flat(content: Any, pictures: list[bytes]) -> str | Woven:
    """Return content parts as one text with a marker for each picture, which joins the pictures."""
    if not isinstance(content, list | tuple) or isinstance(content, Woven):
        return content or ""

    pieces: list[Piece] = []
    for part in content:
        if part.get("type") == "image":
            pictures.append(part["data"])
            pieces.append(Piece(MEDIA, is_trusted=True))
        else:
            pieces.append(Piece(str(part.get("text") or ""), is_trusted=False))

    return Woven(tuple(pieces))


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
