"""The fields of the text index, and what a chunk writes into them.

id     number of the chunk          text   stems, pairs of characters, whole identifiers
plain  words as they are, in order  title  the same as text, of the document's title and the chunk's headings
lang   language of the document     mark, seq  of the one entry that says how far the truth was followed

Nothing is stored: bodies are read from the truth.
"""

import hashlib
from importlib.metadata import version
from typing import NamedTuple

import tantivy

from runtime.core.ids import ChunkId
from runtime.recall.lexical import scripts, words
from runtime.recall.lexical.words import Analyzers

_LIBRARY = version("tantivy")
FORMAT = 1
"""To be raised when what is written changes in a way that the names below do not show."""
TITLE_WEIGHT = 0.4
QUARANTINED = "!"
"""Stands in place of the language of a chunk that the index could not take; it has no words."""
UNTOLD = "-"
"""Stands for the language that is not known: an empty term is none."""


class Entry(NamedTuple):
    """A chunk as the index takes it."""

    chunk: ChunkId
    text: str
    titles: tuple[str, ...]
    language: str
    """ISO 639-1 code; one without a stemmer counts as not known."""


_TEXT_TOKENIZER, _PLAIN_TOKENIZER = "lar_text", "lar_plain"


def make_schema() -> tantivy.Schema:
    """Return the schema of an index."""
    builder = tantivy.SchemaBuilder()
    # Signed: the library takes a number for a signed one when it deletes by it, and finds nothing otherwise.
    builder.add_integer_field("id", indexed=True, fast=True)
    builder.add_text_field("text", tokenizer_name=_TEXT_TOKENIZER, index_option="freq")
    builder.add_text_field("title", tokenizer_name=_TEXT_TOKENIZER, index_option="freq")
    builder.add_text_field("plain", tokenizer_name=_PLAIN_TOKENIZER, index_option="position")
    builder.add_text_field("lang", tokenizer_name="raw", index_option="basic")
    builder.add_integer_field("mark", indexed=True)
    builder.add_integer_field("seq", fast=True)
    return builder.build()


def schema_hash() -> str:
    """Return what changes whenever an index of the former kind must be made anew."""
    shape = (FORMAT, _LIBRARY, scripts.RUST_PLAIN, scripts.LONGEST_WORD_BYTES, words.LANGUAGES)
    return hashlib.sha256(repr(shape).encode()).hexdigest()[:12]


def register(index: tantivy.Index, language: str) -> None:
    """Tell an index how to cut texts of its main language; it forgets that whenever it is closed."""
    index.register_tokenizer(_TEXT_TOKENIZER, words.native_analyzer(language))
    index.register_tokenizer(_PLAIN_TOKENIZER, words.native_plain_analyzer())


def document_of(entry: Entry, main_language: str, analyzers: Analyzers) -> tantivy.Document:
    """Return what a chunk leaves in the index, which cuts texts of its main language itself."""
    document = tantivy.Document()
    language = words.known(entry.language)
    text = scripts.normalised(entry.text)
    document.add_integer("id", entry.chunk)
    document.add_text("lang", language or UNTOLD)
    if scripts.is_common(text):
        document.add_text("plain", text)
    else:
        document.add_pre_tokenized_text("plain", analyzers.plain_tokens(text))
    for field, value in [("text", text), *(("title", scripts.normalised(each)) for each in entry.titles)]:
        if language == main_language and words.can_be_native(value, language):
            document.add_text(field, words.prepared(value, language))
        else:
            document.add_pre_tokenized_text(field, analyzers.tokens(value, language))
        for tokens in analyzers.more_tokens(value, language):
            document.add_pre_tokenized_text(field, tokens)
    return document


def quarantined(chunk: ChunkId) -> tantivy.Document:
    """Return the place of a chunk that cannot be taken in: it is counted, and it is named."""
    document = tantivy.Document()
    document.add_integer("id", chunk)
    document.add_text("lang", QUARANTINED)
    return document


def mark_of(seq: int) -> tantivy.Document:
    """Return the entry that says up to which change the index has followed."""
    document = tantivy.Document()
    document.add_integer("mark", 1)
    document.add_integer("seq", seq)
    return document
