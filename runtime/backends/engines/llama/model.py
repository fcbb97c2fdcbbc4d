"""Opens weights and makes a context for them, or says in words why that cannot be."""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llama_cpp

from runtime.backends.engines.contract import LoadRefused
from runtime.backends.engines.llama.context import Context
from runtime.backends.engines.llama.gguf import WeightsBroken, check_weights
from runtime.backends.engines.llama.logs import LogFilter
from runtime.backends.engines.llama.template import CHATML, ChatTemplate, TemplateBroken
from runtime.backends.engines.llama.vocabulary import Vocabulary
from runtime.backends.protocol import Fault, ModelFacts, Tuning

_MOST_COMPUTED_AT_ONCE = 512
"""llama.cpp's physical batch: smaller and larger ones were slower by 5 to 30 % on processors."""

_REPORT_STEP = 0.01


class Model:
    """Weights, vocabulary and context of one load. `close` frees them."""

    def __init__(self, path: Path, tuning: Tuning, report: Callable[[float], None], logs: LogFilter) -> None:
        """Load. Raises LoadRefused."""
        self._path = path
        self._logs = logs
        self._pointer = self._open(path, tuning, report)
        try:
            self.vocabulary = self._read_vocabulary()
            self.template = self._read_template(tuning)
            self.context = self._make_context(tuning)
        except LoadRefused:
            llama_cpp.llama_model_free(self._pointer)
            raise

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
        )

    def limit(self, tuning: Tuning) -> int:
        """Tokens that one seq may take: what the model was trained on, if the context has so many."""
        trained = int(llama_cpp.llama_model_n_ctx_train(self._pointer))
        return min(tuning.context_tokens, trained) if trained > 0 else tuning.context_tokens

    def close(self) -> None:
        """Free everything."""
        self.context.close()
        llama_cpp.llama_model_free(self._pointer)

    def _open(self, path: Path, tuning: Tuning, report: Callable[[float], None]) -> Any:
        try:
            check_weights(path)
        except WeightsBroken as error:
            raise self._refused(f"{error}.") from error

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
            raise self._refused(f"cannot be loaded. llama.cpp says: {self._logs.last_words()}")

        return pointer

    def _read_vocabulary(self) -> Vocabulary:
        pointer = llama_cpp.llama_model_get_vocab(self._pointer)
        if llama_cpp.llama_vocab_type(pointer) == llama_cpp.LLAMA_VOCAB_TYPE_NONE:
            raise self._refused("holds no vocabulary, so it cannot read or write text.")

        if llama_cpp.llama_model_has_encoder(self._pointer) or llama_cpp.llama_model_is_diffusion(
            self._pointer
        ):
            raise self._refused("is not a model that writes one token after the other; those can be run.")

        return Vocabulary(pointer)

    def _read_template(self, tuning: Tuning) -> ChatTemplate:
        own = llama_cpp.llama_model_chat_template(self._pointer, None)
        source = tuning.chat_template or (own.decode("utf-8", "replace") if own else CHATML)
        vocabulary = self.vocabulary
        try:
            return ChatTemplate(source, bos=vocabulary.bos, eos=vocabulary.eos, controls=vocabulary.controls)
        except TemplateBroken as error:
            owner = "the chat_template in lar.toml" if tuning.chat_template else "its chat template"
            raise self._refused(f"cannot be used for chat: {owner} is broken at {error}.") from error

    def _make_context(self, tuning: Tuning) -> Context:
        trained = int(llama_cpp.llama_model_n_ctx_train(self._pointer)) or tuning.context_tokens
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = min(tuning.context_tokens, trained * tuning.sequences)
        params.n_batch = max(min(tuning.batch_tokens, _MOST_COMPUTED_AT_ONCE), tuning.sequences)
        params.n_ubatch = params.n_batch
        params.n_seq_max = tuning.sequences
        params.n_threads = params.n_threads_batch = tuning.threads
        params.kv_unified = True
        params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_AUTO
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

        context = Context(pointer, self.vocabulary.size)
        if not context.has_memory:
            context.close()
            raise self._refused("is an embedding model; it cannot generate text.")

        return context

    def _refused(self, reason: str) -> LoadRefused:
        return LoadRefused(Fault(code="model_broken", message=f"The model file {self._path} {reason}"))
