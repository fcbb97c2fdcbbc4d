"""The vocabulary of a loaded model: text to tokens and back. A thin shell over llama.cpp."""

import ctypes
from collections.abc import Sequence
from typing import Any

import llama_cpp

from runtime.backends.engines.llama.masking import Control
from runtime.backends.engines.llama.script import Infill

_PIECE_BYTES = 512
"""Room for one token's text; a longer one says so and is asked for again."""


class Vocabulary:
    """Tokens of one model; lives as long as the model does."""

    def __init__(self, pointer: Any) -> None:
        self._pointer = pointer
        self._shown: dict[int, bytes] = {}
        self._named: dict[int, bytes] = {}
        self.size = int(llama_cpp.llama_vocab_n_tokens(pointer))
        self.ends = [token for token in range(self.size) if llama_cpp.llama_vocab_is_eog(pointer, token)]
        """The tokens that end an answer."""
        self.longest = max(len(self._text(token)) for token in range(self.size))
        """No token stands for more bytes of text than this."""
        self.control_ids: dict[str, int] = {}
        """The control tokens by their text."""
        self.special_ids: dict[str, int] = {}
        """The same, and the tags that were added to a vocabulary, as grammars know them."""
        self.controls = self._read_controls()
        """The tokens that text must not be able to name."""

    @property
    def leading(self) -> int | None:
        """The token that every prompt begins with; None where there is none."""
        token = int(llama_cpp.llama_vocab_bos(self._pointer))
        return token if token >= 0 and llama_cpp.llama_vocab_get_add_bos(self._pointer) else None

    @property
    def pointer(self) -> Any:
        """The vocabulary itself, for a grammar's tokenizer."""
        return self._pointer

    @property
    def infill(self) -> Infill | None:
        """How to ask for the middle of a text; None where the model was not trained for it."""
        tokens = Infill(
            int(llama_cpp.llama_vocab_fim_pre(self._pointer)),
            int(llama_cpp.llama_vocab_fim_suf(self._pointer)),
            int(llama_cpp.llama_vocab_fim_mid(self._pointer)),
        )
        return tokens if min(tokens) >= 0 else None

    @property
    def bos(self) -> str:
        """The text of the token that begins a prompt, empty where there is none."""
        return self._special(int(llama_cpp.llama_vocab_bos(self._pointer)))

    @property
    def eos(self) -> str:
        """The text of the token that ends an answer, empty where there is none."""
        return self._special(int(llama_cpp.llama_vocab_eos(self._pointer)))

    def encode(self, text: str, *, is_trusted: bool, adds_special: bool = False) -> list[int]:
        """Return the tokens of the text; control tokens are parsed only if it is trusted.

        `adds_special`: with the tokens that the model expects around a text.
        """
        data = text.encode("utf-8", "replace")
        room = len(data) + 16
        tokens = (ctypes.c_int32 * room)()
        count = self._tokenize(data, tokens, adds_special, is_trusted)
        if count < 0:
            tokens = (ctypes.c_int32 * -count)()
            count = self._tokenize(data, tokens, adds_special, is_trusted)

        return list(tokens[:count])

    def show(self, token: int) -> bytes:
        """Return what the token adds to a text; control tokens add nothing."""
        if token not in self._shown:
            self._shown[token] = self._piece(token, is_special=False)

        return self._shown[token]

    def name(self, token: int) -> bytes:
        """Return the token as a list of tokens shows it, control tokens too."""
        if token not in self._named:
            self._named[token] = self._piece(token, is_special=True)

        return self._named[token]

    def showing(self, texts: Sequence[str]) -> "Showing":
        """Return a look at the vocabulary in which these control tokens are part of the text."""
        revealed = {self.control_ids[text]: text.encode() for text in texts if text in self.control_ids}
        return Showing(self, revealed)

    def _tokenize(self, data: bytes, tokens: Any, adds_special: bool, is_trusted: bool) -> int:
        return int(
            llama_cpp.llama_tokenize(
                self._pointer, data, len(data), tokens, len(tokens), adds_special, is_trusted
            )
        )

    def _text(self, token: int) -> bytes:
        """Return the token as the vocabulary spells it; no shorter than what it stands for."""
        return bytes(llama_cpp.llama_vocab_get_text(self._pointer, token))

    def _special(self, token: int) -> str:
        return self.name(token).decode("utf-8", "replace") if token >= 0 else ""

    def _piece(self, token: int, *, is_special: bool) -> bytes:
        room = _PIECE_BYTES
        while True:
            buffer = ctypes.create_string_buffer(room)
            count = int(llama_cpp.llama_token_to_piece(self._pointer, token, buffer, room, 0, is_special))
            if count >= 0:
                return buffer.raw[:count]

            room = -count

    def _read_controls(self) -> list[Control]:
        """Every token that llama.cpp parses only where special tokens are allowed."""
        controls: list[Control] = []
        hidden = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN
        for token in range(self.size):
            traits = int(llama_cpp.llama_vocab_get_attr(self._pointer, token))
            if traits & hidden:
                text = self._text(token).decode("utf-8", "replace")
                self.control_ids[text] = token
                self.special_ids[text] = token
                controls.append(
                    Control(
                        text,
                        strips_left=bool(traits & llama_cpp.LLAMA_TOKEN_ATTR_LSTRIP),
                        strips_right=bool(traits & llama_cpp.LLAMA_TOKEN_ATTR_RSTRIP),
                    )
                )
            elif traits & llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED:
                text = self._text(token).decode("utf-8", "replace")
                if text.startswith("<") and text.endswith(">"):
                    self.special_ids[text] = token

        return controls


class Showing:
    """What tokens look like where some control tokens show: models mark calls and reasoning with them."""

    def __init__(self, vocabulary: Vocabulary, revealed: dict[int, bytes]) -> None:
        self._vocabulary = vocabulary
        self._revealed = revealed

    def show(self, token: int) -> bytes:
        """Return what the token adds to a text."""
        revealed = self._revealed.get(token)
        return self._vocabulary.show(token) if revealed is None else revealed

    def name(self, token: int) -> bytes:
        """Return the token as a list of tokens shows it, control tokens too."""
        return self._vocabulary.name(token)
