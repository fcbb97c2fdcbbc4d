"""Compiles grammars in llguidance's dialect of Lark, once each, and writes them for schemas and custom tools.

A grammar that llguidance does not take is answered with a Fault: nothing is ever decoded without the grammar
that was asked for.
"""

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Any, Protocol

from llguidance import LLMatcher, LLParserLimits, LLTokenizer

from runtime.backends.engines.llama.grammar.guide import Guide, plain
from runtime.backends.protocol import Fault

_KEPT = 128
"""Compiled grammars; a large one takes some megabytes."""

_LONGEST = 2_000_000
"""Characters of a grammar: beyond it, compiling holds up the others for seconds."""


class Tokenizers(Protocol):
    """Where the tokenizer comes from when it is needed first."""

    def get(self) -> LLTokenizer:
        """Return the tokenizer."""


class Compiler:
    """The grammars of one model. `hits` and `misses` count how often a compiled one was at hand."""

    def __init__(
        self, tokenizer: LLTokenizer | Tokenizers, *, ends: Collection[int], limit: int = _KEPT
    ) -> None:
        self.hits = 0
        self.misses = 0
        self._tokenizer = tokenizer
        self._ends = frozenset(ends)
        self._limit = limit
        self._compiled: OrderedDict[str, LLMatcher] = OrderedDict()

    def compile(self, grammar: str, *, param: str = "response_format") -> Guide | Fault:
        """Return a guide at the start of the grammar, or a Fault with what llguidance says."""
        if len(grammar) > _LONGEST:
            return _fault("the grammar is too long", param)

        matcher = self._compiled.get(grammar)
        if matcher is None:
            self.misses += 1
            matcher = self._build(grammar)
            if matcher.is_error():
                return _fault(matcher.get_error(), param)

            self._compiled[grammar] = matcher
            while len(self._compiled) > self._limit:
                self._compiled.popitem(last=False)
        else:
            self.hits += 1
            self._compiled.move_to_end(grammar)

        return Guide(matcher.deep_copy(), self._ends)

    def _build(self, grammar: str) -> LLMatcher:
        tokenizer = self._tokenizer if isinstance(self._tokenizer, LLTokenizer) else self._tokenizer.get()
        lark = LLMatcher.grammar_from_lark(grammar)
        return LLMatcher(tokenizer, lark, log_level=0, limits=LLParserLimits(verbose_errors=False))


def _fault(problem: str, param: str) -> Fault:
    said = plain(problem)
    is_schema = "JSON schema" in said
    return Fault(
        code="invalid_json_schema" if is_schema else "invalid_request",
        message=f"The {'schema' if is_schema else 'grammar'} cannot be enforced: {said}",
        param=param,
    )


def lark_of_schema(decoding_schema: dict[str, Any]) -> str:
    """Return the grammar of JSON texts that meet a schema made by `bound_schema`."""
    return f"start: %json {json.dumps(decoding_schema)}\n"


def lark_of_regex(pattern: str) -> str:
    """Return the grammar of texts that match the pattern from beginning to end (syntax of Rust's regex)."""
    return f"start: TEXT\nTEXT: /{_slashes_escaped(pattern)}/\n"


def lark_of_custom(syntax: str, definition: str, param: str) -> str | Fault:
    """Return the grammar of a custom tool's input: OpenAI's dialects are those of llguidance.

    Refused is what llguidance refuses, and what reaches beyond the text of the input (control tokens, other
    grammars, stops and limits of their own).
    """
    if syntax == "regex":
        lark = lark_of_regex(definition)
    elif syntax == "lark":
        lark = definition if definition.endswith("\n") else f"{definition}\n"
        if found := _BEYOND.search(_LITERALS.sub('""', lark)):
            message = f"The grammar cannot be used: {found[0].strip()!r} is not allowed in a tool's grammar."
            return Fault(code="invalid_request", message=message, param=param)
    else:
        message = f"The syntax {syntax!r} is unknown; it can be 'lark' or 'regex'."
        return Fault(code="invalid_request", message=message, param=param)

    if len(lark) > _LONGEST:
        return Fault(code="invalid_request", message="The grammar is too long.", param=param)

    problem = LLMatcher.validate_grammar(LLMatcher.grammar_from_lark(lark))
    if problem and not problem.startswith("WARNING"):
        return _fault(problem, param)

    return lark


_LITERALS = re.compile(r'"(?:\\.|[^"\\\n])*"|/(?!/)(?:\\.|[^/\\\n])+/|//[^\n]*|#[^\n]*')
_BEYOND = re.compile(
    r"<[^>\n]*>|@\w+|%(?:llguidance|declare|json|lark|regex)\b|\b(?:stop|suffix|max_tokens|temperature)\s*="
)


def _slashes_escaped(pattern: str) -> str:
    """Return the pattern as it stands between slashes on one line."""
    written: Callable[[re.Match[str]], str] = lambda found: _ESCAPES.get(found[0], found[0])  # noqa: E731
    return re.sub(r"\\.|[/\n\r]", written, pattern, flags=re.DOTALL)


_ESCAPES = {"/": "\\/", "\n": "\\n", "\r": "\\r", "\\\n": "\\n", "\\\r": "\\r"}
