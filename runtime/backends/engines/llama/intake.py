"""From a request to the tokens and numbers that a seq runs on, or to the reason why it cannot.

Pure, but for a template that asks for today's date. What the words mean to the vocabulary is in `script`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from runtime.backends.engines.llama.calls.calling import Calling, decide_calling
from runtime.backends.engines.llama.calls.forms import Form
from runtime.backends.engines.llama.calls.reader import Reader
from runtime.backends.engines.llama.recipe import Recipe, decide_recipe
from runtime.backends.engines.llama.script import Script
from runtime.backends.engines.llama.template import ChatTemplate, PicturesRefused, Rendered, TemplateRefused
from runtime.backends.protocol import Fault, Generate, RawPrompt, Tuning


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A request that can run."""

    tokens: list[int]
    most_tokens: int
    """How many may be generated; 0 where only the prompt is to be scored."""
    recipe: Recipe
    reader: Reader
    grammar: str | None
    """What the answer has to follow, in llguidance's Lark; None: free text."""
    grammar_param: str
    """The field of the request that the grammar comes from."""
    reveals: tuple[str, ...] = ()
    """Control tokens whose text belongs to the answer."""
    adapter: str = ""
    echo: RawPrompt | None = None
    """The prompt, where the answer begins with it."""
    pictures: tuple[bytes, ...] = ()


class Intake:
    """Checks and prepares requests for one model; a seq takes at most `limit` tokens."""

    def __init__(
        self,
        template: ChatTemplate,
        form: Form,
        script: Script,
        tuning: Tuning,
        limit: int,
        *,
        can_see: bool = False,
    ) -> None:
        self._template = template
        self._form = form
        self._script = script
        self._tuning = tuning
        self._limit = limit
        self._can_see = can_see

    def prepare(self, request: Generate) -> Prepared | Fault:
        """Render, count and check. Modifies nothing."""
        recipe = decide_recipe(request.sampling, self._tuning, self._script.size)
        if isinstance(recipe, Fault):
            return recipe

        if request.adapter is not None and request.adapter not in self._tuning.adapters:
            return _unknown_adapter(request.adapter, self._tuning.adapters)

        if request.prompt is not None:
            return self._continue(request, request.prompt, recipe)

        return self._chat(request, recipe)

    def count(self, request: Generate) -> list[int] | Fault:
        """Return the tokens of a request's prompt, however many they are. Modifies nothing."""
        if request.prompt is not None:
            return self._script.raw(request.prompt)

        calling = decide_calling(request, self._form, self._script)
        if isinstance(calling, Fault):
            return calling

        rendered = self._render(request, calling)
        return rendered if isinstance(rendered, Fault) else self._script.encode(rendered.pieces)

    def _chat(self, request: Generate, recipe: Recipe) -> Prepared | Fault:
        contents = (message.get("content") for message in request.messages)
        chars = sum(len(content) for content in contents if isinstance(content, str))
        if chars > self._limit * self._script.longest:
            return self._too_long(f"at least {chars // self._script.longest}", "messages")

        calling = decide_calling(request, self._form, self._script)
        if isinstance(calling, Fault):
            return calling

        rendered = self._render(request, calling)
        if isinstance(rendered, Fault):
            return rendered

        least = self._script.count_up_to(rendered.pieces, self._limit)
        if least >= self._limit:
            return self._too_long(f"at least {least}", "messages")

        tokens = self._script.encode(rendered.pieces)
        if not tokens:
            return Fault(
                code="invalid_request",
                message="The messages make an empty prompt. Send at least one with text.",
                param="messages",
            )

        room = self._room(request, tokens, "messages")
        if isinstance(room, Fault):
            return room

        return Prepared(
            tokens=tokens,
            most_tokens=room,
            recipe=recipe,
            reader=calling.reader(rendered.opens_reasoning),
            grammar=calling.grammar(rendered.opens_reasoning),
            grammar_param="response_format" if request.format_type != "text" else "tools",
            reveals=calling.reveals,
            adapter=request.adapter or "",
            pictures=rendered.pictures,
        )

    def _render(self, request: Generate, calling: Calling) -> Rendered | Fault:
        try:
            return self._template.render(
                calling.messages,
                request.reasoning_effort,
                calling.template_tools,
                can_see=self._can_see,
            )
        except TemplateRefused as refused:
            return Fault(
                code="invalid_request",
                message=f"This model's chat template does not accept the messages: {refused}",
                param="messages",
            )
        except PicturesRefused as refused:
            return Fault(
                code="unsupported_parameter",
                message=f"{refused} Leave the pictures out, or set the model's projector in lar.toml.",
                param="messages",
            )

    def _continue(self, request: Generate, prompt: RawPrompt, recipe: Recipe) -> Prepared | Fault:
        """Prepare the continuation of a raw prompt: no template, no tools, no reasoning to split off."""
        text_limit = self._limit * self._script.longest
        if prompt.text is not None and len(prompt.text) + len(prompt.suffix or "") > text_limit:
            return self._too_long(f"at least {len(prompt.text) // self._script.longest}", "prompt")

        tokens = self._script.raw(prompt)
        if isinstance(tokens, Fault):
            return tokens

        room = self._room(request, tokens, "prompt")
        if isinstance(room, Fault):
            return room

        calling = decide_calling(_bare(request), self._form, self._script)
        if isinstance(calling, Fault):
            return calling

        return Prepared(
            tokens=tokens,
            most_tokens=room,
            recipe=recipe,
            reader=Reader(stops=request.sampling.stop),
            grammar=calling.grammar(False) if request.format_type != "text" else None,
            grammar_param="response_format",
            adapter=request.adapter or "",
            echo=prompt if prompt.is_echoed else None,
        )

    def _room(self, request: Generate, tokens: list[int], param: str) -> int | Fault:
        """Return how many tokens may be generated."""
        room = self._limit - len(tokens)
        asked = request.sampling.max_tokens
        is_scored_only = asked == 0
        if room < (0 if is_scored_only else 1):
            return self._too_long(str(len(tokens)), param)

        return room if asked is None else min(asked, room)

    def _too_long(self, count: str, param: str) -> Fault:
        what = "messages" if param == "messages" else "prompt"
        return Fault(
            code="context_length_exceeded",
            message=f"The prompt has {count} tokens, but this model takes {self._limit} for prompt and "
            f"answer together. Shorten the {what}, or raise the model's context_tokens in lar.toml.",
            param=param,
        )


Prepare = Callable[[Generate], Prepared | Fault]


def _bare(request: Generate) -> Generate:
    return Generate(
        seq=request.seq,
        sampling=request.sampling,
        format_type=request.format_type,
        format_schema=request.format_schema,
    )


def _unknown_adapter(name: str, adapters: Mapping[str, str]) -> Fault:
    known = ", ".join(sorted(adapters)) or "none"
    return Fault(
        code="invalid_request",
        message=f"This model has no adapter '{name[:80]}'. Known: {known}. Add it to the model's adapters in "
        "lar.toml.",
        param="adapter",
    )
