"""From a text to the terms that stand for it in the index: stems by language, pairs, identifiers.

A chunk's words are stemmed in the language of its document alone; a query's words in every language that
the namespace holds. All stems lie in one field, so there is one count of how rare a term is and one average
length, and scores are comparable across languages. Stop words go first, accents last: the stemmers know
words as they are written.
"""

import threading
from collections.abc import Iterable, Sequence

import tantivy

from runtime.recall.lexical import plurals, scripts, slavic
from runtime.recall.lexical.stopwords import STOP_WORDS

LANGUAGES = {
    "ar": "arabic",
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "fi": "finnish",
    "fr": "french",
    "hu": "hungarian",
    "it": "italian",
    "nl": "dutch",
    "no": "norwegian",
    "pl": "polish",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
}
"""The languages with a stemmer and stop words, by ISO 639-1 code. Czech and Polish have one of Lar's own."""
UNKNOWN = ""
"""Any other language: words as they are, in lower case and without accents."""
_SAME = {"nb": "no", "nn": "no"}
_SLAVIC_STOP_WORDS = {each: frozenset(STOP_WORDS[each]) for each in slavic.LANGUAGES}
_PLAIN, _PAIRS, _SPACED = "plain", "pairs", "spaced"


def known(language: str) -> str:
    """Return the code of a language that has a stemmer, UNKNOWN for any other (`auto`, `pt-BR` is `pt`)."""
    code = language.lower().replace("_", "-").partition("-")[0]
    code = _SAME.get(code, code)
    return code if code in LANGUAGES else UNKNOWN


class Analyzers:
    """Cuts texts into terms. Safe for threads: each has analyzers of its own."""

    def __init__(self) -> None:
        self._own = threading.local()

    def tokens(self, text: str, language: str) -> tantivy.PreTokenizedString:
        """Return the stems of a normalised text."""
        stemmed = prepared(text, language)
        return self._analyzer(language, stemmed).pre_tokenize(stemmed)

    def more_tokens(self, text: str, language: str) -> list[tantivy.PreTokenizedString]:
        """Return what else stands for a normalised text: pairs of runs, whole identifiers, parts of names."""
        found = [self._analyzer(_PAIRS).pre_tokenize(run) for run in scripts.runs(text) if len(run) > 1]
        if identifiers := scripts.identifiers(text):
            found.append(self._analyzer(_SPACED).pre_tokenize(" ".join(identifiers)))
        if humps := scripts.humps(text):
            found.append(self.tokens(" ".join(humps), language))
        return found

    def plain_tokens(self, text: str) -> tantivy.PreTokenizedString:
        """Return the words of a normalised text as they are, with their places."""
        return self._analyzer(_PLAIN, text).pre_tokenize(text)

    def stems(self, text: str, language: str) -> list[str]:
        """Return the terms of words in a language, without its stop words."""
        stemmed = prepared(text, language)
        return list(self._analyzer(language, stemmed).analyze(stemmed))

    def places(self, text: str, language: str) -> list[tuple[int, int, str]] | None:
        """Return the stems of a text with their places; None where it is changed before it is cut."""
        if prepared(text, language) != text:
            return None

        tokens = self._analyzer(language, text).pre_tokenize(text).tokens
        return [(each.char_offset_from, each.char_offset_to, each.text) for each in tokens]

    def plain(self, text: str) -> list[str]:
        """Return words as they are, in lower case and without accents; characters of runs one by one."""
        return list(self._analyzer(_PLAIN, text).analyze(text))

    def alternatives(self, word: str, languages: Iterable[str]) -> list[str]:
        """Return the different terms that a word of a query may have in texts of the languages."""
        return list(dict.fromkeys(term for each in languages for term in self.stems(word, each)))

    def is_stop_word(self, word: str, language: str) -> bool:
        """Whether a language is silent about a word."""
        return language != UNKNOWN and not self.stems(word, language)

    def _analyzer(self, name: str, text: str = "") -> tantivy.TextAnalyzer:
        """Return an analyzer, the fast one where the text needs no other."""
        is_common = scripts.is_common(text)
        made: dict[str, tantivy.TextAnalyzer] = self._own.__dict__
        key = f"{name} {is_common}"
        if key not in made:
            made[key] = _make(name, is_common)
        return made[key]


def native_analyzer(language: str) -> tantivy.TextAnalyzer:
    """Return the analyzer that an index itself may use for common texts in a language."""
    return _make(language, is_common=True)


def native_plain_analyzer() -> tantivy.TextAnalyzer:
    """Return the analyzer that an index itself may use for the words of common texts as they are."""
    return _make(_PLAIN, is_common=True)


def can_be_native(text: str, language: str) -> bool:
    """Whether the index itself may cut a text: in its own threads, many times faster."""
    return language not in slavic.LANGUAGES and scripts.is_common(text)


def likely_language(analyzers: Analyzers, words: Sequence[str], languages: Iterable[str]) -> str:
    """Return the language whose stop words a question uses most, UNKNOWN where fewer than two of them are."""
    counts = {each: sum(analyzers.is_stop_word(word, each) for word in words) for each in languages}
    best = max(counts.values(), default=0)
    leading = [each for each, count in counts.items() if count == best]
    return leading[0] if best > 1 and len(leading) == 1 else UNKNOWN


def prepared(text: str, language: str) -> str:
    """Return a text as its analyzer is to get it: with what the library's stemmers do not know done."""
    if language not in slavic.LANGUAGES:
        return plurals.singular(text, language)

    silent = _SLAVIC_STOP_WORDS[language]
    found = (match.group().lower() for match in scripts.WORD.finditer(text))
    return " ".join(slavic.stem(word, language) for word in found if word not in silent)


def _make(name: str, is_common: bool) -> tantivy.TextAnalyzer:
    if name == _PAIRS:
        return tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.ngram(2, 2)).build()

    if name == _SPACED:
        return tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build()

    pattern = scripts.RUST_PLAIN if name == _PLAIN else scripts.RUST_WORD
    tokenizer = tantivy.Tokenizer.simple() if is_common else tantivy.Tokenizer.regex(pattern)
    builder = tantivy.TextAnalyzerBuilder(tokenizer)
    for each in _filters(name):
        builder = builder.filter(each)
    return builder.build()


def _filters(name: str) -> list[tantivy.Filter]:
    filters = [tantivy.Filter.remove_long(scripts.LONGEST_WORD_BYTES), tantivy.Filter.lowercase()]
    if name in LANGUAGES and name not in slavic.LANGUAGES:
        own = STOP_WORDS.get(name)
        language = LANGUAGES[name]
        filters.append(tantivy.Filter.custom_stopword([*own]) if own else tantivy.Filter.stopword(language))
        filters.append(tantivy.Filter.stemmer(language))
    return [*filters, tantivy.Filter.ascii_fold()]
