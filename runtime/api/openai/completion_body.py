"""The body of a plain completion as it comes over the wire, and the runs that it asks for: one per prompt."""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from runtime.api.errors import invalid
from runtime.api.openai.sampling import Int32, SampledBody, priority_of, sampling_of
from runtime.core.ids import ModelId
from runtime.core.messages import ChatRequest, RawPrompt, Sampling

PROMPTS_LIMIT = 128
BEST_OF_LIMIT = 20
LOGPROBS_LIMIT = 5
DEFAULT_MAX_TOKENS = 16
"""OpenAI's: a plain completion that states no limit is a short one."""

TokenIds = list[Int32]


class CompletionBody(SampledBody, frozen=True, kw_only=True):
    """POST /v1/completions."""

    prompt: str | list[str | Int32 | TokenIds]
    """A text, texts, tokens, or lists of tokens: msgspec takes them mixed, `prompts_of` does not."""
    suffix: str | None = None
    max_tokens: Int32 | None = None
    best_of: Annotated[int, msgspec.Meta(ge=1, le=BEST_OF_LIMIT)] | None = None
    echo: bool | None = None
    logprobs: Annotated[int, msgspec.Meta(ge=0, le=LOGPROBS_LIMIT)] | None = None

    @property
    def wanted(self) -> int:
        """Answers per prompt that are returned."""
        return self.n or 1

    @property
    def generated(self) -> int:
        """Answers per prompt that are made."""
        return self.best_of or self.wanted


def requests_of(body: CompletionBody) -> tuple[ChatRequest, ...]:
    """Return a request per prompt, in their order. Raises Refused, naming the field."""
    _check_couplings(body)
    sampling = _sampling_of(body)
    return tuple(
        ChatRequest(
            model=ModelId(body.model),
            prompt=prompt,
            sampling=sampling,
            choices=body.generated,
            adapter=body.adapter,
            priority=priority_of(body),
            deadline_s=body.deadline_s,
        )
        for prompt in _prompts_of(body)
    )


def _sampling_of(body: CompletionBody) -> Sampling:
    logprobs = body.logprobs
    if logprobs is None and body.generated > body.wanted:
        logprobs = 0  # the best are found by them
    return sampling_of(
        body,
        max_tokens=DEFAULT_MAX_TOKENS if body.max_tokens is None else body.max_tokens,
        logprobs=logprobs,
    )


def _prompts_of(body: CompletionBody) -> list[RawPrompt]:
    suffix, is_echoed = body.suffix or None, bool(body.echo)
    given = body.prompt
    if isinstance(given, str):
        return [RawPrompt(text=given, suffix=suffix, is_echoed=is_echoed)]

    _check_list(given)
    texts = [each for each in given if isinstance(each, str)]
    if texts:
        return [RawPrompt(text=each, suffix=suffix, is_echoed=is_echoed) for each in texts]

    lists = [tuple(each) for each in given if isinstance(each, list)]
    numbers = tuple(each for each in given if isinstance(each, int))
    return [RawPrompt(tokens=each, suffix=suffix, is_echoed=is_echoed) for each in lists or [numbers]]


def _check_list(given: Sequence[str | int | list[int]]) -> None:
    if not given:
        raise invalid("'prompt' is an empty list. Send at least one prompt.", "prompt")

    for place, each in enumerate(given):
        if type(each) is not type(given[0]):
            raise invalid(
                "'prompt' mixes kinds. It is a text, a list of texts, a list of token ids, or a list of "
                "lists of token ids.",
                f"prompt[{place}]",
            )
        if each == []:
            raise invalid("A prompt of token ids needs at least one.", f"prompt[{place}]")

    if not isinstance(given[0], int) and len(given) > PROMPTS_LIMIT:
        raise invalid(f"A request may hold at most {PROMPTS_LIMIT} prompts.", "prompt")


def _check_couplings(body: CompletionBody) -> None:
    if body.generated < body.wanted:
        raise invalid("'best_of' must be at least 'n': that many answers are chosen from it.", "best_of")

    if body.stream and body.generated > body.wanted:
        raise invalid("'best_of' above 'n' is not allowed when 'stream' is true.", "best_of")

    if body.max_tokens == 0 and not body.echo:
        raise invalid("'max_tokens' of 0 makes sense with 'echo' only: it scores the prompt.", "max_tokens")

    if body.suffix and body.echo:
        raise invalid("'echo' is not allowed together with 'suffix'.", "echo")
