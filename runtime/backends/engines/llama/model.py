"""Opens weights and makes a context for them, or says in words why that cannot be."""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llama_cpp

from runtime.backends.engines.contract import LoadRefused
from runtime.backends.engines.llama.context import Context
from runtime.backends.engines.llama.embedding import is_embedding_model
from runtime.backends.engines.llama.gguf import WeightsBroken, check_weights
from runtime.backends.engines.llama.logs import LogFilter
from runtime.backends.engines.llama.metadata import KEEPS_WHOLE_WINDOWS
from runtime.backends.engines.llama.template import CHATML, ChatTemplate, TemplateBroken
from runtime.backends.engines.llama.vision import Vision
from runtime.backends.engines.llama.vocabulary import Vocabulary
from runtime.backends.protocol import Fault, ModelFacts, Tuning

_MOST_COMPUTED_AT_ONCE = 512
"""llama.cpp's physical batch: smaller and larger ones were slower by 5 to 30 % on processors."""

_REPORT_STEP = 0.01

_FEATURES = (
    "chat",
    "completions",
    "custom_tools",
    "ignore_eos",
    "logit_bias",
    "logprobs",
    "min_p",
    "penalties",
    "reasoning",
    "response_format",
    "seed",
    "tokenize",
    "tools",
    "top_k",
    "typical_p",
)
"""What every model that generates can be asked for."""

_BF16 = 30  # of ggml_type; the package has no name for it

_KV_TYPES = {
    "f32": llama_cpp.GGML_TYPE_F32,
    "f16": llama_cpp.GGML_TYPE_F16,
    "bf16": _BF16,
    "q8_0": llama_cpp.GGML_TYPE_Q8_0,
    "q5_1": llama_cpp.GGML_TYPE_Q5_1,
    "q5_0": llama_cpp.GGML_TYPE_Q5_0,
    "q4_1": llama_cpp.GGML_TYPE_Q4_1,
    "q4_0": llama_cpp.GGML_TYPE_Q4_0,
}


class Weights:
    """An opened model file and its vocabulary. `close` frees them."""

    def __init__(self, path: Path, tuning: Tuning, report: Callable[[float], None], logs: LogFilter) -> None:
        """Open the file. Raises LoadRefused."""
        self.path = path
        self._logs = logs
        self.pointer = self._open(path, tuning, report)
        try:
            self.vocabulary = self._read_vocabulary()
        except LoadRefused:
            self.close()
            raise

    @property
    def is_embedding(self) -> bool:
        """Whether the model makes vectors or scores in place of text."""
        return is_embedding_model(self.pointer)

    def close(self) -> None:
        """Free everything."""
        llama_cpp.llama_model_free(self.pointer)

    def refused(self, reason: str) -> LoadRefused:
        """Return the refusal to use this file, as the end of a sentence about it; raise it."""
        return LoadRefused(Fault(code="model_broken", message=f"The model file {self.path} {reason}"))

    def _open(self, path: Path, tuning: Tuning, report: Callable[[float], None]) -> Any:
        try:
            check_weights(path)
        except WeightsBroken as error:
            raise self.refused(f"{error}.") from error

        last = 0.0

        def progress(fraction: float, _: object) -> bool:
            nonlocal last
            if fraction >= last + _REPORT_STEP or fraction >= 1.0:
                last = fraction
                report(min(fraction, 1.0))

            return True

        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = tuning.gpu_layers
        callback = llama_cpp.llama_progress_callback(progress)  # must outlive the call below
        params.progress_callback = callback
        pointer = llama_cpp.llama_model_load_from_file(os.fsencode(path), params)
        if not pointer:
            raise self.refused(f"cannot be loaded. llama.cpp says: {self._logs.last_words()}")

        return pointer

    def _read_vocabulary(self) -> Vocabulary:
        pointer = llama_cpp.llama_model_get_vocab(self.pointer)
        if llama_cpp.llama_vocab_type(pointer) == llama_cpp.LLAMA_VOCAB_TYPE_NONE:
            raise self.refused("holds no vocabulary, so it cannot read or write text.")

        is_diffusion = llama_cpp.llama_model_is_diffusion(self.pointer)
        if llama_cpp.llama_model_has_encoder(self.pointer) or is_diffusion:
            raise self.refused("is not a model that writes one token after the other; those can be run.")

        return Vocabulary(pointer)


class Model:
    """The weights of a model that generates, with its chat template, adapters and context."""

    def __init__(self, weights: Weights, tuning: Tuning, logs: LogFilter) -> None:
        """Make a context. Raises LoadRefused; the weights stay the caller's."""
        self._weights = weights
        self._pointer = weights.pointer
        self._logs = logs
        self.vocabulary = weights.vocabulary
        self.template = self._read_template(tuning)
        self.adapters = {name: self._read_adapter(name, path) for name, path in tuning.adapters.items()}
        """LoRA adapters by name; they live as long as the weights."""
        self.vision = None if tuning.projector is None else self._open_projector(tuning.projector, tuning)
        """What the model sees with; None where it cannot."""
        try:
            self.context = self._make_context(tuning)
        except LoadRefused:
            self._close_vision()
            raise

    @property
    def is_exact(self) -> bool:
        """Whether the state of a sequence can be used whole only: a sliding window or recurrent layers."""
        return bool(
            llama_cpp.llama_model_n_swa(self._pointer) > 0
            or llama_cpp.llama_model_is_recurrent(self._pointer)
            or llama_cpp.llama_model_is_hybrid(self._pointer)
        )

    def facts(self, limit: int, sequences: int) -> ModelFacts:
        """Describe the model."""
        buffer = ctypes.create_string_buffer(256)
        llama_cpp.llama_model_desc(self._pointer, buffer, len(buffer))
        return ModelFacts(
            context_tokens=limit,
            sequences=sequences,
            vocabulary=self.vocabulary.size,
            parameters=int(llama_cpp.llama_model_n_params(self._pointer)),
            description=buffer.value.decode("utf-8", "replace"),
            features=self._features(),
        )

    def _features(self) -> tuple[str, ...]:
        """Return what this model can be asked for."""
        extra = [
            ("adapters", bool(self.adapters)),
            ("images", self.vision is not None),
            ("suffix", self.vocabulary.infill is not None),
        ]
        return (*_FEATURES, *(name for name, is_there in extra if is_there))

    def limit(self, tuning: Tuning) -> int:
        """Tokens that one seq may take: what the model was trained on, if the context has so many."""
        trained = int(llama_cpp.llama_model_n_ctx_train(self._pointer))
        return min(tuning.context_tokens, trained) if trained > 0 else tuning.context_tokens

    def close(self) -> None:
        """Free the context and the projector."""
        self.context.close()
        self._close_vision()

    def _read_template(self, tuning: Tuning) -> ChatTemplate:
        own = llama_cpp.llama_model_chat_template(self._pointer, None)
        source = tuning.chat_template or (own.decode("utf-8", "replace") if own else CHATML)
        self.template_source = source
        vocabulary = self.vocabulary
        try:
            return ChatTemplate(source, bos=vocabulary.bos, eos=vocabulary.eos, controls=vocabulary.controls)
        except TemplateBroken as error:
            owner = "the chat_template in lar.toml" if tuning.chat_template else "its chat template"
            raise self._weights.refused(f"cannot be used for chat: {owner} is broken at {error}.") from error

    def _read_adapter(self, name: str, path: str) -> Any:
        adapter = llama_cpp.llama_adapter_lora_init(self._pointer, os.fsencode(path))
        if not adapter:
            message = (
                f"The adapter '{name}' at {path} cannot be used with this model: {self._logs.last_words()} "
                "Check the model's adapters in lar.toml."
            )
            raise LoadRefused(Fault(code="model_broken", message=message))

        return adapter

    def _open_projector(self, path: str, tuning: Tuning) -> Vision:
        return Vision(Path(path), self._pointer, tuning, self._logs)

    def _close_vision(self) -> None:
        if self.vision is not None:
            self.vision.close()

    def _rows(self, tuning: Tuning) -> int:
        """Return how many tokens are computed at once: all of a picture, where it has to be seen at once."""
        rows = max(min(tuning.batch_tokens, _MOST_COMPUTED_AT_ONCE), tuning.sequences)
        return (
            rows if self.vision is None or not self.vision.sees_ahead else max(rows, self.vision.most_tokens)
        )

    def _make_context(self, tuning: Tuning) -> Context:
        trained = int(llama_cpp.llama_model_n_ctx_train(self._pointer)) or tuning.context_tokens
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = min(tuning.context_tokens, trained * tuning.sequences)
        params.n_batch = self._rows(tuning)
        params.n_ubatch = params.n_batch
        has_door = not self.is_exact
        params.n_seq_max = tuning.sequences + (1 if has_door else 0)
        params.n_threads = params.n_threads_batch = tuning.threads
        params.kv_unified = True
        params.swa_full = KEEPS_WHOLE_WINDOWS
        params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_AUTO
        params.type_k = params.type_v = _KV_TYPES[tuning.kv_type]
        params.no_perf = True
        pointer = llama_cpp.llama_init_from_model(self._pointer, params)
        if not pointer:
            raise LoadRefused(
                Fault(
                    code="insufficient_memory",
                    message=f"There is no room for a context of {params.n_ctx} tokens. Lower context_tokens "
                    f"for the model in lar.toml. llama.cpp says: {self._logs.last_words()}",
                )
            )

        context = Context(pointer, self.vocabulary.size, has_door=has_door)
        if not context.has_memory:
            context.close()
            raise self._weights.refused("keeps no context, so it cannot generate text.")

        return context
