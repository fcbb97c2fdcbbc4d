"""A small vocabulary for grammars: every byte, some longer pieces, two tokens that end, one control token."""

import random

from llguidance import LLTokenizer, TokenizerWrapper

from runtime.backends.engines.llama.grammar.guide import Guide

PIECES = [
    b'{"',
    b'": ',
    b'": "',
    b'", "',
    b'"}',
    b"}}",
    b"]}",
    b", ",
    b"10",
    b"23",
    b"true",
    b"null",
    b"ab",
    b"abc",
]
END, OTHER_END, TOOL_CALL = 256 + len(PIECES), 257 + len(PIECES), 258 + len(PIECES)
ENDS = (END, OTHER_END)
TOKENS = [
    *(bytes([byte]) for byte in range(256)),
    *PIECES,
    b"\xff<|end|>",
    b"\xff<|other_end|>",
    b"\xff<tool_call>",
]
VOCABULARY = len(TOKENS)

_BY_LENGTH = sorted(range(256 + len(PIECES)), key=lambda token: -len(TOKENS[token]))


def encode(text: str | bytes) -> list[int]:
    """Return the tokens of a text, the longest that fits at each place."""
    rest = text.encode() if isinstance(text, str) else text
    tokens: list[int] = []
    while rest:
        token = next(each for each in _BY_LENGTH if rest.startswith(TOKENS[each]))
        tokens.append(token)
        rest = rest[len(TOKENS[token]) :]

    return tokens


def decode(tokens: list[int]) -> bytes:
    """Return the text of the tokens; control tokens have none."""
    return b"".join(TOKENS[token] for token in tokens if token < END)


class _Source:
    eos_token_id = END
    bos_token_id = None
    tokens = TOKENS
    special_token_ids = (END, OTHER_END, TOOL_CALL)

    def __call__(self, text: str | bytes) -> list[int]:
        return encode(text)


def byte_tokenizer() -> LLTokenizer:
    """Return the tokenizer as llguidance wants it."""
    return LLTokenizer(TokenizerWrapper(_Source()), eos_token=[*ENDS], slices=[])


def walk(guide: Guide, draw: random.Random, *, limit: int = 20_000) -> bytes:
    """Follow the guide by tokens that it allows, chosen at random, with some haste, until it may end."""
    taken: list[int] = []
    while not guide.is_over:
        assert len(taken) < limit, decode(taken)[-200:]
        allowed = [token for token in range(VOCABULARY) if guide.allows(token)]
        assert allowed, "the guide is stuck"
        texts = [token for token in allowed if token not in ENDS]
        if END in allowed and (not texts or draw.random() < 0.3):
            break

        closing = [token for token in texts if TOKENS[token][:1] in (b'"', b"}", b"]")]
        token = draw.choice(closing if closing and draw.random() < 0.4 else texts)
        guide.accept(token)
        taken.append(token)

    assert guide.allows(END)
    assert guide.allows(OTHER_END)
    guide.accept(OTHER_END)
    return decode(taken)
