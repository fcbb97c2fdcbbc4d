"""From the clauses of a question to a query of the index, and the greatest score that it could give.

A word stands for its terms in all languages of the namespace. Those of one word hardly ever meet in one
chunk (a chunk is stemmed in one language), so all terms are one flat union, which the index prunes best.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import tantivy

from runtime.recall.lexical import scripts
from runtime.recall.lexical.fields import TITLE_WEIGHT
from runtime.recall.lexical.query import Clause
from runtime.recall.lexical.words import Analyzers, known, likely_language

TERMS = 128
"""Words of one question that are searched for; of more, the rarest."""
_WORDS_READ = 2048
_EXPANSIONS = 64
"""Words with a prefix that are weighed by how rare they are; the others count a little."""
_SATURATION = 2.2
"""What a term gives at most, times its idf: k1 + 1."""
_Part = tuple[tantivy.Occur, tantivy.Query]
_Group = tuple[str, tuple[str, ...]]
"""A field, and the terms in it that stand for one word."""


class View(NamedTuple):
    """One commit of a namespace's index, with what is needed to ask it."""

    searcher: tantivy.Searcher
    schema: tantivy.Schema
    languages: Sequence[str]
    analyzers: Analyzers


class Asked(NamedTuple):
    """A question as the index understands it."""

    query: tantivy.Query | None
    """None: nothing can match."""
    ceiling: float
    """What a chunk could score at most, were each word in it over and over."""


class Demanded(NamedTuple):
    """What decides whether a chunk may be a hit at all; None: there is no such demand."""

    must: tantivy.Query | None
    barred: tantivy.Query | None


def compose_demands(clauses: Sequence[Clause], language: str, view: View) -> Demanded:
    """Return what clauses that must or must not hold ask for."""
    builder = _Builder(view, language)
    for clause in clauses:
        builder.add(clause)
    return builder.demanded()


def compose(clauses: Sequence[Clause], language: str, view: View) -> Asked:
    """Return the query of a question in a language, which may be unknown."""
    builder = _Builder(view, language)
    for clause in clauses:
        builder.add(clause)
    return builder.asked()


class _Builder:
    def __init__(self, view: View, language: str) -> None:
        self._view = view
        self._language = known(language)
        self._parts: list[_Part] = []
        self._ceiling = 0.0
        self._can_match = True

    def demanded(self) -> Demanded:
        if not self._can_match:
            return Demanded(tantivy.Query.empty_query(), None)

        must = [query for occur, query in self._parts if occur is tantivy.Occur.Must]
        barred = [query for occur, query in self._parts if occur is tantivy.Occur.MustNot]
        return Demanded(_all(must) if must else None, _any(barred) if barred else None)

    def asked(self) -> Asked:
        matching = [part for part in self._parts if part[0] is not tantivy.Occur.MustNot]
        query = tantivy.Query.boolean_query(self._parts) if matching and self._can_match else None
        return Asked(query, self._ceiling)

    def add(self, clause: Clause) -> None:
        if clause.kind == "words" and clause.occur == "should":
            for group in self._rarest(self._groups(clause.text)):
                self._parts += [(tantivy.Occur.Should, each) for each in self._terms(group, clause.is_title)]
            return

        required = self._queries(clause)
        is_whole = bool(required) and all(required)
        match clause.occur:
            case "must":
                self._can_match = self._can_match and is_whole
                self._parts += [(tantivy.Occur.Must, _any(each)) for each in required if each]
            case "not":
                barred = _all([_any(each) for each in required]) if is_whole else tantivy.Query.empty_query()
                self._parts.append((tantivy.Occur.MustNot, barred))
            case "should":
                self._parts += [(tantivy.Occur.Should, _any(each)) for each in required if each]

    def _queries(self, clause: Clause) -> list[list[tantivy.Query]]:
        """Return what a clause is made of: one list of alternatives for each part of it."""
        match clause.kind:
            case "words":
                return [self._terms(each, clause.is_title) for each in self._exact_groups(clause.text)]
            case "phrase" if clause.is_title:
                return [self._terms(each, True) for each in self._groups(clause.text)]
            case "phrase":
                return self._phrase(clause)
            case "prefix":
                return [self._prefix(each, clause) for each in self._view.analyzers.plain(clause.text)]
            case "fuzzy":
                return [self._fuzzy(each, clause) for each in self._view.analyzers.plain(clause.text)]

    def _groups(self, text: str) -> list[_Group]:
        """Return the words of a text, each once; where none is to be found, as they are."""
        analyzers, languages = self._view.analyzers, self._view.languages
        found = [word for _, _, word in scripts.words(text)][:_WORDS_READ]
        spaced = [word for word in dict.fromkeys(found) if not scripts.SPACELESS_RUN.match(word)]
        silent = self._language or likely_language(analyzers, spaced, languages)
        groups: dict[_Group, None] = {}
        for word in dict.fromkeys(found):
            if scripts.SPACELESS_RUN.match(word):
                field = "plain" if len(word) == 1 else "text"
                groups.update(dict.fromkeys((field, (pair,)) for pair in scripts.pairs(word)))
            elif not analyzers.is_stop_word(word, silent):
                groups.update(self._stems(word))
        for part in scripts.humps(text)[:_WORDS_READ]:
            groups.update(self._stems(part))
        groups.update(dict.fromkeys(self._identifiers(text)))
        if any(self._is_known(group) for group in groups):
            return [*groups]

        return [("plain", (term,)) for term in dict.fromkeys(analyzers.plain(text)[:_WORDS_READ])]

    def _exact_groups(self, text: str) -> list[_Group]:
        """Return what a text must have to hold the same: its identifiers, or its words where none is one."""
        return self._identifiers(text) or self._groups(text)

    def _identifiers(self, text: str) -> list[_Group]:
        found = scripts.identifiers(text)[:_WORDS_READ]
        return [("text", (each,)) for each in dict.fromkeys(found)]

    def _stems(self, word: str) -> dict[_Group, None]:
        terms = self._view.analyzers.alternatives(word, self._view.languages)
        return {("text", tuple(terms)): None} if terms else {}

    def _rarest(self, groups: Sequence[_Group]) -> Sequence[_Group]:
        if len(groups) <= TERMS:
            return groups

        return sorted(groups, key=self._frequency)[:TERMS]

    def _is_known(self, group: _Group) -> bool:
        return any(
            self._view.searcher.doc_freq(field, term) for field in (group[0], "title") for term in group[1]
        )

    def _frequency(self, group: _Group) -> int:
        field, terms = group
        return max(int(self._view.searcher.doc_freq(field, term)) for term in terms)

    def _terms(self, group: _Group, is_title: bool) -> list[tantivy.Query]:
        """Return queries for the terms of a word, and note what it could score."""
        field, terms = group
        if is_title:
            return [query for term in terms for query in self._term("title", term)]

        self._ceiling += self._idf(self._frequency(group)) * _SATURATION
        found = [query for term in terms for query in self._term(field, term)]
        if field == "text":
            found += [
                tantivy.Query.boost_query(q, TITLE_WEIGHT) for t in terms for q in self._term("title", t)
            ]
        return found

    def _term(self, field: str, term: str) -> list[tantivy.Query]:
        if not self._view.searcher.doc_freq(field, term):
            return []

        return [tantivy.Query.term_query(self._view.schema, field, term, index_option="freq")]

    def _phrase(self, clause: Clause) -> list[list[tantivy.Query]]:
        terms: list[str | tuple[int, str]] = [*self._view.analyzers.plain(clause.text)[:_WORDS_READ]]
        if len(terms) < 2:
            return [self._term("plain", str(term)) for term in terms]

        self._ceiling += (
            sum(self._idf(self._frequency(("plain", (str(term),)))) for term in terms) * _SATURATION
        )
        return [[tantivy.Query.phrase_query(self._view.schema, "plain", terms, slop=clause.distance)]]

    def _prefix(self, text: str, clause: Clause) -> list[tantivy.Query]:
        field = "title" if clause.is_title else "plain"
        found = self._view.searcher.terms_with_prefix(field, text, limit=_EXPANSIONS)
        if not found:
            return []

        every = tantivy.Query.fuzzy_term_query(self._view.schema, field, text, 0, prefix=True)
        alternatives = [query for term, _ in found for query in self._term(field, str(term))]
        self._ceiling += self._idf(max(int(count) for _, count in found)) * _SATURATION
        return [_best([*alternatives, tantivy.Query.const_score_query(every, 0.1)])]

    def _fuzzy(self, text: str, clause: Clause) -> list[tantivy.Query]:
        field = "title" if clause.is_title else "plain"
        near = tantivy.Query.fuzzy_term_query(self._view.schema, field, text, clause.distance)
        weight = self._idf(self._frequency((field, (text,))))
        self._ceiling += weight * _SATURATION
        return [_best([*self._term(field, text), tantivy.Query.const_score_query(near, weight / 2)])]

    def _idf(self, frequency: int) -> float:
        total = max(int(self._view.searcher.num_docs), frequency)
        return math.log(1 + (total - frequency + 0.5) / (frequency + 0.5))


def _any(alternatives: Sequence[tantivy.Query]) -> tantivy.Query:
    if len(alternatives) == 1:
        return alternatives[0]

    return tantivy.Query.boolean_query([(tantivy.Occur.Should, each) for each in alternatives])


def _all(parts: Sequence[tantivy.Query]) -> tantivy.Query:
    if len(parts) == 1:
        return parts[0]

    return tantivy.Query.boolean_query([(tantivy.Occur.Must, each) for each in parts])


def _best(alternatives: Iterable[tantivy.Query]) -> tantivy.Query:
    return tantivy.Query.disjunction_max_query([*alternatives])
