"""The kinds of documents that Lar tells apart, and which names and media types stand for which. Data only."""

from typing import Literal

Kind = Literal[
    "text",
    "lines",
    "markdown",
    "html",
    "pdf",
    "docx",
    "pptx",
    "xlsx",
    "csv",
    "json",
    "jsonl",
    "epub",
    "eml",
    "code",
    "audio",
    "image",
]
"""lines: text whose lines matter (settings, logs, source code of languages without a grammar)."""

TEXTUAL: frozenset[Kind] = frozenset(
    {"text", "lines", "markdown", "html", "csv", "json", "jsonl", "eml", "code"}
)

MEDIA_TYPES: dict[Kind, str] = {
    "text": "text/plain",
    "lines": "text/plain",
    "markdown": "text/markdown",
    "html": "text/html",
    "pdf": "application/pdf",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "csv": "text/csv",
    "json": "application/json",
    "jsonl": "application/jsonl",
    "epub": "application/epub+zip",
    "eml": "message/rfc822",
    "code": "text/plain",
}

NAMES: dict[Kind, str] = {
    "text": "plain text",
    "lines": "plain text",
    "markdown": "Markdown",
    "html": "a web page",
    "pdf": "a PDF",
    "docx": "a Word document",
    "pptx": "a PowerPoint presentation",
    "xlsx": "an Excel workbook",
    "csv": "a table",
    "json": "JSON",
    "jsonl": "lines of JSON",
    "epub": "an e-book",
    "eml": "an e-mail",
    "code": "source code",
    "audio": "an audio recording",
    "image": "a picture",
}

LANGUAGES = {
    ".c": "c",
    ".cc": "cpp",
    ".cpp": "cpp",
    ".cts": "typescript",
    ".cxx": "cpp",
    ".go": "go",
    ".h": "cpp",
    ".hh": "cpp",
    ".hpp": "cpp",
    ".hxx": "cpp",
    ".java": "java",
    ".cjs": "javascript",
    ".js": "javascript",
    ".jsx": "javascript",
    ".mjs": "javascript",
    ".mts": "typescript",
    ".py": "python",
    ".pyi": "python",
    ".pyw": "python",
    ".rs": "rust",
    ".ts": "typescript",
    ".tsx": "tsx",
}
"""Programming languages with a grammar, by suffix. A header may be C++, whose grammar reads C as well."""

_LINES = (
    ".awk .bash .bat .bib .cfg .clj .cmake .conf .cs .css .dart .diff .el .elm .env .erl .ex .exs .f90 "
    ".fish .fs .gradle .graphql .groovy .hcl .hs .ini .jl .kt .kts .less .lisp .log "
    ".lua .m .make .ml .mm .nix .pas .patch .php .pl .pm .properties .proto .ps1 .r .rb .sass "
    ".scala .scm .scss .sh .sql .srt "
    ".svelte .swift .tcl .tf .toml .vb .vim .vtt .vue .xml .xsd .xsl .yaml .yml .zig .zsh"
)

SUFFIXES: dict[str, Kind] = {
    **dict.fromkeys(_LINES.split(), "lines"),
    **dict.fromkeys(LANGUAGES, "code"),
    ".txt": "text",
    ".text": "text",
    ".rst": "text",
    ".adoc": "text",
    ".org": "text",
    ".tex": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".mdx": "markdown",
    ".htm": "html",
    ".html": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".docx": "docx",
    ".docm": "docx",
    ".pptx": "pptx",
    ".pptm": "pptx",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".json": "json",
    ".geojson": "json",
    ".ipynb": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".epub": "epub",
    ".eml": "eml",
    ".mht": "eml",
    ".mhtml": "eml",
    ".wav": "audio",
    ".mp3": "audio",
    ".m4a": "audio",
    ".flac": "audio",
    ".ogg": "audio",
    ".opus": "audio",
    ".png": "image",
    ".jpg": "image",
    ".jpeg": "image",
    ".tif": "image",
    ".tiff": "image",
    ".webp": "image",
}

BY_MEDIA_TYPE: dict[str, Kind] = {
    **{media_type: kind for kind, media_type in MEDIA_TYPES.items() if media_type != "text/plain"},
    "application/x-ndjson": "jsonl",
    "application/xhtml+xml": "html",
    "text/tab-separated-values": "csv",
    "text/x-markdown": "markdown",
    "application/xml": "lines",
    "text/xml": "lines",
    "application/yaml": "lines",
}
"""`text/plain` says too little: servers send it for everything that they do not know."""
