"""How texts become the tokens of one model: pieces of a rendered prompt, raw prompts, exact history. Pure."""

import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from runtime.backends.engines.llama.masking import Piece
from runtime.backends.engines.llama.transcripts import Transcripts
from runtime.backends.protocol import Fault, RawPrompt

_SUSPICIOUS_CHARS = 4
"""Characters per token in plain English. A prompt that would not fit by this measure is counted with care."""

_SLICE_CHARS, _SLICE_SLACK = 16_384, 16
"""Such a prompt is counted in slices; cutting one costs at most so many tokens more than leaving it whole."""


class Infill(NamedTuple):
    """The tokens that ask a model to fill in the middle."""

    prefix: int
    suffix: int
    middle: int


class Encoder(Protocol):
    """Text to tokens."""

    @property
    def size(self) -> int:
        """How many tokens there are."""

    @property
    def longest(self) -> int:
        """No token stands for more bytes of text than this."""

    @property
    def leading(self) -> int | None:
        """The token that every prompt begins with; None where there is none."""

    @property
    def infill(self) -> Infill | None:
        """How to ask for the middle of a text; None where the model was not trained for it."""

    @property
    def special_ids(self) -> dict[str, int]:
        """The tokens that stand for more than their text, by it: control tokens and added tags."""

    def encode(self, text: str, *, is_trusted: bool) -> list[int]:
        """Return the tokens of the text; special ones are parsed only if it is trusted."""

    def show(self, token: int) -> bytes:
        """Return what the token adds to a text; control tokens add nothing."""


class Script:
    """The encoder of one model, with its memory of how it spelled its own answers."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._controls = encoder.special_ids
        self._transcripts = Transcripts(frozenset(self._controls.values()))
        texts = sorted(self._controls, key=len, reverse=True)
        self._pattern = re.compile(f"({'|'.join(re.escape(text) for text in texts)})") if texts else None

    @property
    def size(self) -> int:
        """How many tokens there are."""
        return self._encoder.size

    @property
    def longest(self) -> int:
        """No token stands for more bytes of text than this."""
        return self._encoder.longest

    def is_control(self, text: str) -> bool:
        """Whether the text is one token that stands for more than itself."""
        return text in self._controls

    def token_of(self, text: str) -> int:
        """Return the number of such a token."""
        return self._controls[text]

    def encode(self, pieces: Sequence[Piece]) -> list[int]:
        """Return the tokens of a rendered prompt, answers of this model spelled as they were."""
        return self._led(self._spelled(pieces))

    def encode_around(self, segments: Sequence[Sequence[Piece]]) -> list[list[int]]:
        """Return the tokens of each segment of a prompt that pictures stand in."""
        first, *rest = [self._spelled(segment) for segment in segments]
        return [self._led(first), *rest]

    def raw(self, prompt: RawPrompt) -> list[int] | Fault:
        """Return the tokens of a prompt without a template. Its text may name control tokens."""
        if prompt.tokens is not None:
            return self._checked(prompt.tokens)

        text = self._encoder.encode(prompt.text or "", is_trusted=True)
        if prompt.suffix is None:
            return self._led(text) or self._nothing()

        infill = self._encoder.infill
        if infill is None:
            return Fault(
                code="unsupported_parameter",
                message="This model was not trained to fill in the middle of a text. Leave suffix out.",
                param="suffix",
            )

        suffix = self._encoder.encode(prompt.suffix, is_trusted=True)
        return self._led([infill.prefix, *text, infill.suffix, *suffix, infill.middle])

    def note(self, prompt: Sequence[int], generated: Sequence[int]) -> None:
        """Remember how an answer was spelled."""
        self._transcripts.note(
            prompt, generated, self.spell, lambda text: self._encoder.encode(text, is_trusted=False)
        )

    def spell(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens; control tokens add nothing."""
        return b"".join(self._encoder.show(token) for token in tokens).decode("utf-8", "replace")

    def count_up_to(self, pieces: Sequence[Piece], limit: int) -> int:
        """Count the tokens of a prompt that may be too long, only until that is clear.

        Tokenising megabytes takes seconds, in which no other seq advances. 0 where all is well.
        """
        if sum(len(piece.text) for piece in pieces) < limit * _SUSPICIOUS_CHARS:
            return 0

        count = 0
        for piece in pieces:
            for at in range(0, len(piece.text), _SLICE_CHARS):
                part = piece.text[at : at + _SLICE_CHARS]
                tokens = self._encoder.encode(part, is_trusted=piece.is_trusted)
                count += max(0, len(tokens) - _SLICE_SLACK)
                if count >= limit:
                    return count

        return count

    def _spelled(self, pieces: Sequence[Piece]) -> list[int]:
        if not self._transcripts:
            return self._plain(pieces)

        tokens: list[int] = []
        for part in self._cut(pieces):
            run = self._transcripts.find("".join(piece.text for piece in part))
            tokens += self._plain(part) if run is None else run
        return tokens

    def _plain(self, pieces: Sequence[Piece]) -> list[int]:
        tokens: list[int] = []
        for piece in pieces:
            tokens += self._encoder.encode(piece.text, is_trusted=piece.is_trusted)
        return tokens

    def _led(self, tokens: list[int]) -> list[int]:
        """Begin with the token that the model expects first, unless the template wrote it."""
        leading = self._encoder.leading
        return tokens if leading is None or tokens[:1] == [leading] else [leading, *tokens]

    def _cut(self, pieces: Sequence[Piece]) -> list[list[Piece]]:
        """Cut a prompt at its control tokens; each of these is a part of its own."""
        parts: list[list[Piece]] = [[]]
        for piece in pieces:
            if not piece.is_trusted:
                parts[-1].append(piece)
                continue

            for text in self._split(piece.text):
                if text in self._controls:
                    parts += [[Piece(text, is_trusted=True)], []]
                elif text:
                    parts[-1].append(Piece(text, is_trusted=True))
        return [part for part in parts if part]

    def _split(self, text: str) -> list[str]:
        pattern = self._pattern
        return [text] if pattern is None else pattern.split(text)

    def _checked(self, tokens: Sequence[int]) -> list[int] | Fault:
        strange = next((token for token in tokens if not 0 <= token < self.size), None)
        if strange is not None:
            return Fault(
                code="invalid_request",
                message=f"The prompt holds the token {strange}, but this model's tokens go from 0 to "
                f"{self.size - 1}.",
                param="prompt",
            )

        return list(tokens) or self._nothing()

    def _nothing(self) -> Fault:
        return Fault(code="invalid_request", message="The prompt is empty. Send some text.", param="prompt")
