"""Keeps what people write from becoming control tokens. Pure.

Special tokens must be parsed in what the chat template writes, and must not be in what came with the
request: "<|im_end|>" in a message is text. Before the template runs, each character of the request that
could begin a control token is swapped for a lone surrogate, which no valid text holds. Templates may trim,
cut, join or quote the masked text as they like. Afterwards every control token that stands in the rendered
text is the template's own; the masked characters are restored, and their surroundings are tokenised
without special tokens.

Markers that the template itself looks for in messages (`</think>`) stay readable to it, as long as no
control token can be made of them.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

_FIRST_SURROGATE, _SURROGATES = 0xD800, 2048
_MASKED = re.compile("[\ud800-\udfff]")


class Control(NamedTuple):
    """A token of the vocabulary that text must not be able to name."""

    text: str
    strips_left: bool = False
    """Whether blanks before it belong to it."""
    strips_right: bool = False


class Piece(NamedTuple):
    """Part of a prompt: special tokens are parsed only where it is trusted."""

    text: str
    is_trusted: bool


class Woven(NamedTuple):
    """A text of a message that was written in part by Lar: control tokens stay where it is trusted."""

    pieces: tuple[Piece, ...]


class Mask:
    """Masks for one vocabulary and the markers of one template."""

    def __init__(self, controls: Sequence[Control], markers: Iterable[str] = ()) -> None:
        self._controls = {control.text: control for control in controls if control.text}
        texts = sorted(self._controls, key=len, reverse=True)
        starts = sorted({text[0] for text in texts})
        assert len(starts) <= _SURROGATES, "control tokens of real vocabularies begin alike"
        self._mask = {start: chr(_FIRST_SURROGATE + place) for place, start in enumerate(starts)}
        self._unmask = str.maketrans({mask: start for start, mask in self._mask.items()})
        readable = [marker for marker in markers if _is_harmless(marker, texts)]
        self._dangers = _danger_pattern(texts, sorted(readable, key=len, reverse=True))
        self._control_pattern = re.compile("|".join(re.escape(text) for text in texts)) if texts else None

    def hide(self, value: Any) -> Any:
        """Return the value (a tree as JSON has it) with every string in it masked, keys included.

        Of a `Woven` text, only what is not trusted.
        """
        match value:
            case str():
                return self._hide_text(value)
            case Woven():
                hidden = (text if is_trusted else self._hide_text(text) for text, is_trusted in value.pieces)
                return "".join(hidden)
            case dict():
                return {self.hide(key): self.hide(each) for key, each in value.items()}
            case list() | tuple():
                return [self.hide(each) for each in value]
            case _:
                return value

    def split(self, rendered: str) -> list[Piece]:
        """Return the rendered text, unmasked, in pieces to tokenise one by one."""
        if not _MASKED.search(rendered):
            return [Piece(rendered, is_trusted=True)] if rendered else []

        pieces: list[Piece] = []
        trusted, at, previous = "", 0, ""
        for start, end in [*self._control_spans(rendered), (len(rendered), len(rendered))]:
            between, control = rendered[at:start], rendered[start:end]
            if _MASKED.search(between):
                pieces.append(Piece(trusted, is_trusted=True))
                text = self._strip(between, previous, control).translate(self._unmask)
                pieces.append(Piece(text, is_trusted=False))
                trusted = control
            else:
                trusted += between + control

            at, previous = end, control

        pieces.append(Piece(trusted, is_trusted=True))
        return [piece for piece in pieces if piece.text]

    def _hide_text(self, text: str) -> str:
        text = _MASKED.sub("\ufffd", text)
        return self._dangers.sub(self._swap, text) if self._dangers else text

    def _swap(self, found: re.Match[str]) -> str:
        return found[0] if found.lastgroup == "marker" else self._mask[found[0]]

    def _control_spans(self, rendered: str) -> list[tuple[int, int]]:
        if self._control_pattern is None:
            return []

        return [found.span() for found in self._control_pattern.finditer(rendered)]

    def _strip(self, between: str, previous: str, following: str) -> str:
        """Drop the blanks that the control tokens on both sides swallow."""
        if previous and self._controls[previous].strips_right:
            between = between.lstrip()

        if following and self._controls[following].strips_left:
            between = between.rstrip()

        return between


def _is_harmless(marker: str, controls: Sequence[str]) -> bool:
    """Whether no control token can contain, begin or continue the marker."""
    tails = tuple(marker[at:] for at in range(len(marker)))
    return bool(marker.strip()) and not any(
        control in marker or control.startswith(tails) for control in controls
    )


def _danger_pattern(controls: Sequence[str], markers: Sequence[str]) -> re.Pattern[str] | None:
    """Match what is masked: punctuation that begins a control token, wherever it stands.

    Letters and blanks are masked only where a whole control token stands: templates look at them too often.
    """
    if not controls:
        return None

    punctuation = {text[0] for text in controls if not text[0].isalnum() and not text[0].isspace()}
    wholes = [text for text in controls if text[0] not in punctuation]
    options = [re.escape(start) for start in sorted(punctuation)]
    options += [f"{re.escape(text[0])}(?={re.escape(text[1:])})" for text in wholes]
    readable = "|".join(re.escape(marker) for marker in markers)
    return re.compile(f"(?P<marker>{readable})|{'|'.join(options)}" if readable else "|".join(options))
