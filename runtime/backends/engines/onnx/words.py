"""Texts to tokens and back, by the tokenizer.json beside the weights; pairs of texts for rankers.

A pair is the query and then the document, each as the tokenizer's own template frames them:

    before  query  between  document  after        [CLS] where [SEP] here [SEP]
"""

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Encoding, Tokenizer

from runtime.backends.engines.onnx.beside import Beside, find_beside
from runtime.backends.engines.onnx.refusal import first_line, refused

TOKENIZER_FILE = "tokenizer.json"
_PADDING = ("[PAD]", "<pad>", "<|pad|>")


class Words:
    """The tokenizer of one model. Made by `open_words`."""

    def __init__(self, tokenizer: Tokenizer, beside: Beside) -> None:
        self._tokenizer = tokenizer
        self._lowers = beside.lowers
        self.vocabulary = int(tokenizer.get_vocab_size(with_added_tokens=True))
        self.pad = _padding_of(tokenizer, beside)
        # The file asks for both; nothing is cut here in silence, and a batch is padded as a whole.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        single, pair = tokenizer.encode("a"), tokenizer.encode("a", "a")
        self._before, _, self._after = _parts(single)
        self._pair_before, self._between, _ = _parts(pair)
        self._types = list(pair.type_ids)
        self._second = _place_of(pair, 1)

    def tokenize(self, text: str, *, adds_special: bool, parses_special: bool) -> list[int]:
        """Return the tokens of a text; unless parsed, the name of a special token is text like any other."""
        self._tokenizer.encode_special_tokens = not parses_special
        return list(self._tokenizer.encode(self._lower(text), add_special_tokens=adds_special).ids)

    def wrap(self, tokens: Sequence[int]) -> list[int]:
        """Put the special tokens around, where they are missing."""
        row = list(tokens)
        if row[: len(self._before)] != self._before:
            row = self._before + row
        if self._after and row[-len(self._after) :] != self._after:
            row += self._after

        return row

    def pair(self, query: str, document: str) -> list[int]:
        """Return query and document as one row, however long."""
        self._tokenizer.encode_special_tokens = True
        return list(self._tokenizer.encode(self._lower(query), self._lower(document)).ids)

    @property
    def tells_texts_apart(self) -> bool:
        """Whether a row of `pair` shows where its document begins, and types rise there from 0 to 1."""
        expected = [0] * self._second + [1] * (len(self._types) - self._second)
        return not any(self._types) or (bool(self._between) and self._types == expected)

    def types(self, row: Sequence[int]) -> list[int]:
        """Return to which text each token of a pair belongs, as the model was taught: 0 or 1."""
        if not any(self._types):
            return [0] * len(row)

        # Texts hold no special token, so the first of them after the query's beginning ends the query.
        width = len(self._between)
        starts = range(len(self._pair_before), len(row) - width + 1)
        end = next((at for at in starts if list(row[at : at + width]) == self._between), len(row) - width)
        return [0] * (end + width) + [1] * (len(row) - end - width)

    def spell(self, token: int) -> bytes:
        """Return a token as the vocabulary spells it: a piece within a word begins with `##`."""
        return (self._tokenizer.id_to_token(token) or "").encode()

    def detokenize(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens; case and spaces are lost where the tokenizer drops them."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))

    def _lower(self, text: str) -> str:
        return text.lower() if self._lowers else text


def open_words(weights: Path, beside: Beside) -> Words:
    """Read the tokenizer of a model. Raises LoadRefused."""
    path = find_beside(weights, TOKENIZER_FILE)
    if path is None:
        raise refused(
            f"{weights} needs a {TOKENIZER_FILE} beside it, which is missing. Copy it from where the model "
            "is from; save_pretrained of a fast tokenizer writes it."
        )

    try:
        return Words(Tokenizer.from_file(str(path)), beside)
    except Exception as problem:  # the library raises nothing narrower
        raise refused(f"{path} cannot be read: {first_line(problem)}. Download it again.") from problem


def _parts(encoding: Encoding) -> tuple[list[int], list[int], list[int]]:
    """Return the special tokens before the first text, between the two, and after the last."""
    owners = encoding.sequence_ids
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    for place, token in enumerate(encoding.ids):
        if owners[place] is None:
            earlier = any(owner is not None for owner in owners[:place])
            later = any(owner is not None for owner in owners[place:])
            parts[earlier + (not later)].append(token)

    return parts


def _place_of(encoding: Encoding, text: int) -> int:
    owners = encoding.sequence_ids
    return owners.index(text) if text in owners else len(owners)


def _padding_of(tokenizer: Tokenizer, beside: Beside) -> int:
    """Return the token that fills a batch; what it is counts only for models that look for it."""
    if tokenizer.padding is not None:
        return int(tokenizer.padding["pad_id"])

    if beside.pad is not None:
        return beside.pad

    found = (tokenizer.token_to_id(name) for name in _PADDING)
    return next((token for token in found if token is not None), 0)
