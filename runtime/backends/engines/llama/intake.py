"""From a request to the tokens and numbers that a seq runs on, or to the reason why it cannot.

Pure, but for a template that asks for today's date. What the words mean to the vocabulary is in `script`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from runtime.backends.engines.llama.calls.calling import Calling, decide_calling
from runtime.backends.engines.llama.calls.forms import Form
from runtime.backends.engines.llama.calls.reader import Reader
from runtime.backends.engines.llama.pictures import (
    Eyes,
    Look,
    PictureUnreadable,
    Prompt,
    digest_of,
    split_at_media,
    weave,
)
from runtime.backends.engines.llama.plan import Picture
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
    pictures: tuple[Picture, ...] = ()
    """Where among the tokens pictures are."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """The pictures themselves, by their digests."""


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
        eyes: Eyes | None = None,
    ) -> None:
        """`eyes` are None where the model cannot see."""
        self._template = template
        self._form = form
        self._script = script
        self._tuning = tuning
        self._limit = limit
        self._eyes = eyes

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
        if isinstance(rendered, Fault):
            return rendered

        prompt = self._prompt(rendered, None)
        return prompt if isinstance(prompt, Fault) else prompt.tokens

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

        prompt = self._prompt(rendered, self._limit)
        if isinstance(prompt, Fault):
            return prompt

        tokens = prompt.tokens
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
            pictures=prompt.pictures,
            files={digest_of(data): data for data in rendered.pictures},
        )

    def _prompt(self, rendered: Rendered, limit: int | None) -> Prompt | Fault:
        """Return the tokens of a prompt, pictures in their places; looks at no more than fit the limit."""
        if not rendered.pictures or self._eyes is None:
            return Prompt(self._script.encode(rendered.pieces), ())

        segments = split_at_media(rendered.pieces)
        if len(segments) != len(rendered.pictures) + 1:
            return Fault(
                code="invalid_request",
                message="This model's chat template leaves pictures out, or shows them twice. Send them in "
                "messages of the user, or set a chat_template for the model in lar.toml.",
                param="messages",
            )

        looks: list[Look] = []
        count = 0
        for number, data in enumerate(rendered.pictures, start=1):
            try:
                looks.append(self._eyes.look(data))
            except PictureUnreadable as problem:
                message = f"Picture {number} of the messages {problem}"
                return Fault(code="invalid_request", message=message, param="messages")

            count += looks[-1].length
            if limit is not None and count >= limit:
                return self._too_long(f"at least {count}", "messages")

        return weave(self._script.encode_around(segments), looks)

    def _render(self, request: Generate, calling: Calling) -> Rendered | Fault:
        try:
            return self._template.render(
                calling.messages,
                request.reasoning_effort,
                calling.template_tools,
                can_see=self._eyes is not None,
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

        calling = decide_calling(request, self._form, self._script)
        if isinstance(calling, Fault):
            return calling

        return Prepared(
            tokens=tokens,
            most_tokens=room,
            recipe=recipe,
            reader=calling.reader(False),
            grammar=calling.grammar(False),
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


def _unknown_adapter(name: str, adapters: Mapping[str, str]) -> Fault:
    known = ", ".join(sorted(adapters)) or "none"
    return Fault(
        code="invalid_request",
        message=f"This model has no adapter '{name[:80]}'. Known: {known}. Add it to the model's adapters in "
        "lar.toml.",
        param="adapter",
    )
