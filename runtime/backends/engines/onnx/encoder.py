"""A sentence-transformers model as an ONNX file: tokens in, the mean of its last hidden states out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as raised
from tokenizers import Tokenizer

from runtime.backends.engines.contract import LoadRefused
from runtime.backends.engines.embedding.encoder import EncodeFailed
from runtime.backends.protocol import Fault, Tuning

TOKENIZER_FILE = "tokenizer.json"
_HIDDEN = "last_hidden_state"
_IDS, _MASK, _TYPES = "input_ids", "attention_mask", "token_type_ids"
_ERRORS_ONLY = 3
"""Of onnxruntime's log levels."""

RUNTIME_ERRORS = (
    raised.EPFail,
    raised.Fail,
    raised.InvalidArgument,
    raised.InvalidGraph,
    raised.InvalidProtobuf,
    raised.NoModel,
    raised.NoSuchFile,
    raised.NotImplemented,
    raised.RuntimeException,
    RuntimeError,
)
"""What the library raises for a file or a batch that it cannot do; they share no root of their own."""


class OnnxEncoder:
    """One loaded model. Made by `open_encoder`."""

    name = "onnx"
    is_padded = True
    is_ranker = False

    def __init__(self, session: onnxruntime.InferenceSession, tokenizer: Tokenizer, tuning: Tuning) -> None:
        self._session = session
        self._tokenizer = tokenizer
        self._takes_types = any(each.name == _TYPES for each in session.get_inputs())
        self._before, self._after = _specials(tokenizer)
        self.limit = tuning.context_tokens
        self.batch_tokens = tuning.batch_tokens
        self.vocabulary = int(tokenizer.get_vocab_size(with_added_tokens=True))
        self.dimensions = int(session.get_outputs()[0].shape[-1])

    def tokenize(self, text: str, *, adds_special: bool, parses_special: bool) -> list[int]:
        """Return the tokens of a text; unless parsed, the name of a special token is text like any other."""
        self._tokenizer.encode_special_tokens = not parses_special
        return list(self._tokenizer.encode(text, add_special_tokens=adds_special).ids)

    def wrap(self, tokens: Sequence[int]) -> list[int]:
        """Put the special tokens around, where they are missing."""
        row = list(tokens)
        if row[: len(self._before)] != self._before:
            row = self._before + row
        if self._after and row[-len(self._after) :] != self._after:
            row += self._after

        return row

    def pair(self, query: str, document: str) -> list[int]:
        """Return query and document as one row."""
        return list(self._tokenizer.encode(query, document).ids)

    def spell(self, token: int) -> bytes:
        """Return a token as the vocabulary spells it: a piece within a word begins with `##`."""
        return (self._tokenizer.id_to_token(token) or "").encode()

    def detokenize(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens; case and spaces are lost where the tokenizer drops them."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))

    def encode(self, rows: Sequence[Sequence[int]]) -> list[list[float]]:
        """Compute a batch. Raises EncodeFailed."""
        width = max(map(len, rows))
        ids = np.zeros((len(rows), width), np.int64)
        mask = np.zeros_like(ids)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = row
            mask[place, : len(row)] = 1

        feed = {_IDS: ids, _MASK: mask}
        if self._takes_types:
            feed[_TYPES] = np.zeros_like(ids)

        try:
            (hidden,) = self._session.run([self._session.get_outputs()[0].name], feed)
        except RUNTIME_ERRORS as problem:
            raise EncodeFailed(_first_line(problem)) from problem

        weights = mask[:, :, None].astype(np.float32)
        means = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
        return [[float(number) for number in mean] for mean in means]

    def close(self) -> None:
        """Free the model."""
        del self._session


def open_encoder(path: Path, tuning: Tuning) -> OnnxEncoder:
    """Load the model and its tokenizer, and compute the longest input once. Raises LoadRefused."""
    if not path.is_file():
        raise _refused(
            f"There is nothing at {path}. Install the model again, or correct its path in lar.toml."
        )

    beside = path.with_name(TOKENIZER_FILE)
    if not beside.is_file():
        raise _refused(f"{path} needs a {TOKENIZER_FILE} beside it, which is missing.")

    encoder = OnnxEncoder(_open_session(path, tuning), _open_tokenizer(beside), tuning)
    try:
        encoder.encode([[0] * encoder.limit])
    except EncodeFailed as problem:
        raise _refused(
            f"The model at {path} cannot compute {encoder.limit} tokens: {problem}. "
            "Lower its context_tokens in lar.toml to what it was made for."
        ) from problem

    return encoder


def _open_session(path: Path, tuning: Tuning) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = tuning.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    # Between two steps no thread waits in a loop: other workers need the cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except RUNTIME_ERRORS as problem:
        raise _refused(f"{path} cannot be loaded: {_first_line(problem)}.") from problem

    taken = {each.name for each in session.get_inputs()}
    made = session.get_outputs()[0]
    if not {_IDS, _MASK} <= taken <= {_IDS, _MASK, _TYPES}:
        raise _refused(f"{path} is no text embedding model: it takes {', '.join(sorted(taken))}.")

    if made.name != _HIDDEN or len(made.shape) != 3 or not isinstance(made.shape[-1], int):
        raise _refused(
            f"{path} gives '{made.name}' {made.shape} first; '{_HIDDEN}' of known width is needed."
        )

    return session


def _open_tokenizer(path: Path) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as problem:  # the library raises nothing narrower
        raise _refused(f"{path} cannot be read: {_first_line(problem)}.") from problem

    # The file asks for both; we cut nothing in silence and pad by ourselves.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _specials(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Return the tokens that the model expects before and after a text."""
    plain = tokenizer.encode("a", add_special_tokens=False).ids
    whole = tokenizer.encode("a", add_special_tokens=True).ids
    start = next((at for at in range(len(whole)) if whole[at : at + len(plain)] == plain), 0)
    return whole[:start], whole[start + len(plain) :]


def _refused(message: str) -> LoadRefused:
    return LoadRefused(Fault(code="model_broken", message=message))


def _first_line(problem: Exception) -> str:
    return str(problem).strip().partition("\n")[0][:300].rstrip(".")
