"""What Ollama's `options` mean here: tokens are chosen by them, or they change nothing, or they are refused.

An option that would change the answer and is not honoured is refused by its name. One that only says how to
compute (threads, batches, layers on the GPU) is accepted: that is decided in lar.toml, for all requests.
"""

from runtime.api.errors import invalid, unsupported
from runtime.api.ollama.body import Options
from runtime.core.messages import Sampling
from runtime.core.states import ModelState

REPEAT_WINDOW_TOKENS = 64
"""How far back the repeat penalty looks: Ollama's own default."""

RENAMED = {
    name: f"options.{name}"
    for name in (
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "typical_p",
        "presence_penalty",
        "frequency_penalty",
        "repeat_penalty",
        "seed",
    )
}
"""The core's names of what stands under `options`."""


def sampling_of(options: Options | None, logprobs: int | None = None) -> Sampling:
    """Return how tokens are chosen. Raises Refused for what no engine here does."""
    if options is None:
        return Sampling(logprobs=logprobs)

    _check_refused(options)
    return Sampling(
        temperature=options.temperature,
        top_p=options.top_p,
        top_k=None if options.top_k is None else max(0, options.top_k),
        min_p=options.min_p,
        typical_p=options.typical_p,
        presence_penalty=options.presence_penalty or 0.0,
        frequency_penalty=options.frequency_penalty or 0.0,
        repeat_penalty=1.0 if options.repeat_penalty is None else options.repeat_penalty,
        seed=None if options.seed == -1 else options.seed,
        max_tokens=options.num_predict if options.num_predict and options.num_predict > 0 else None,
        stop=_stops_of(options.stop),
        logprobs=logprobs,
    )


def check_context(options: Options | None, model: ModelState) -> None:
    """Refuse `num_ctx` beyond what the model has here; many clients send it always. Raises Refused.

    A smaller one is fine: the context is the model's, shared and set once, and more room harms nobody.
    """
    limit = model.context_tokens
    if options is None or not options.num_ctx or limit is None or options.num_ctx <= limit:
        return

    raise invalid(
        f"'options.num_ctx' is {options.num_ctx}, and the model '{model.id}' has a context of {limit} tokens "
        f'here. Ask for at most {limit}, or raise context_tokens under [model."{model.id}"] in lar.toml.',
        "options.num_ctx",
    )


def _check_refused(options: Options) -> None:
    is_penalised = options.repeat_penalty not in (None, 1.0)
    refused = {
        "mirostat": bool(options.mirostat),
        "tfs_z": options.tfs_z not in (None, 1.0),
        "vocab_only": bool(options.vocab_only),
        "penalize_newline": is_penalised and options.penalize_newline is False,
    }
    for name, is_on in refused.items():
        if is_on:
            raise unsupported(f"'options.{name}' is not supported. Leave it out.", f"options.{name}")

    if is_penalised and options.repeat_last_n not in (None, REPEAT_WINDOW_TOKENS):
        raise unsupported(
            f"'options.repeat_last_n' other than {REPEAT_WINDOW_TOKENS} is not supported. Leave it out.",
            "options.repeat_last_n",
        )


def _stops_of(stop: str | list[str] | None) -> tuple[str, ...]:
    if stop is None:
        return ()

    return (stop,) if isinstance(stop, str) else tuple(dict.fromkeys(stop))
