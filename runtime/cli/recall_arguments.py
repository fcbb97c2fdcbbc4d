"""What can be typed after `lar recall` and `lar mcp`: every command with its options and an example."""

import argparse
from typing import Any, get_args

from runtime.cli.arguments import add_command, with_json
from runtime.cli.recall_words import attribute, condition, interval, share, whole
from runtime.core.knowledge import SourceKind
from runtime.core.memories import ItemKind

_COLLECTION = "id or name of a collection"


def add_recall_commands(commands: Any) -> None:
    """Declare `lar recall` with all its actions."""
    text = "keep documents and memories, and find them again"
    recall = add_command(
        commands, "recall", "recall_list", "list_known", text, "lar recall search 'green tea'"
    )
    recall.set_defaults(json=False, memory=False, collection=None)
    actions = recall.add_subparsers(title="actions", metavar="ACTION")
    _add_adding(actions)
    _add_finding(actions)
    _add_looking(actions)
    _add_sources(actions)
    _add_collections(actions)
    _add_memory(actions)
    _add_upkeep(actions)


def _add_adding(actions: Any) -> None:
    text = "take in files, folders, web addresses, or what a pipe brings"
    add = add_command(
        actions,
        "add",
        "recall_add",
        "add_documents",
        text,
        "lar recall add -c notes ~/notes --include '*.md'",
    )
    add.add_argument("places", nargs="+", metavar="PLACE", help="a file, a folder, a URL, or - for stdin")
    add.add_argument(
        "-c", "--collection", default="documents", help=f"{_COLLECTION}, made if need be (default: documents)"
    )
    add.add_argument("--include", action="append", default=[], metavar="GLOB", help="only these files")
    add.add_argument("--exclude", action="append", default=[], metavar="GLOB", help="not these files")
    add.add_argument("--hidden", action="store_true", help="files whose names begin with a dot, too")
    add.add_argument("--name", help="name of what comes from stdin (default: stdin.txt)")
    add.add_argument("--tag", action="append", default=[], help="a tag for all of them; may be repeated")
    add.add_argument(
        "--attribute", action="append", type=attribute, default=[], metavar="KEY=VALUE", help="an attribute"
    )
    add.add_argument("--language", help="ISO 639-1 code of the texts (default: found out)")
    add.add_argument(
        "--follow",
        nargs="?",
        const=3600.0,
        type=interval,
        metavar="INTERVAL",
        help="keep a URL or folder in step from now on, looking that often: 10m, 6h, 1d (default: 1h)",
    )
    add.add_argument("--kind", choices=get_args(SourceKind), help="of a URL (default: found out)")
    add.add_argument("--branch", help="of a git repository (default: the one it names itself)")
    add.add_argument("--secret", metavar="NAME", help="environment variable of the server with a URL's token")
    add.add_argument("--max-documents", type=whole, default=1000, help="of a URL or source (default: 1000)")
    add.add_argument("--no-wait", action="store_true", help="do not wait until everything was read")
    with_json(add)


def _add_finding(actions: Any) -> None:
    text = "find passages by words and meaning"
    example = "lar recall search 'who buys the samovar' -c minutes --filter 'year >= 2025'"
    search = add_command(actions, "search", "recall_search", "search", text, example)
    search.add_argument("text", nargs="+", help="what to look for")
    _with_narrowing(search)
    search.add_argument("--limit", type=whole, default=10, help="hits at most (default: 10)")
    search.add_argument("--offset", type=whole, default=0, help="hits to pass over (default: 0)")
    search.add_argument(
        "--arm", choices=("hybrid", "text", "vector"), default="hybrid", help="how (default: hybrid)"
    )
    search.add_argument(
        "--threshold", type=share, default=0.0, help="leave out hits with a score below it, 0 to 1"
    )
    search.add_argument("--neighbours", type=whole, default=0, help="chunks to show before and after a hit")
    search.add_argument("--rerank", default="auto", metavar="MODEL", help="auto, none, or a cross-encoder")
    search.add_argument("--explain", action="store_true", help="tell how each score came about")
    search.add_argument("--memory", action="store_true", help="search what is remembered, not documents")
    _with_scope(search)
    with_json(search)

    text = "answer a question from the documents, with its sources"
    ask = add_command(actions, "ask", "recall_ask", "ask", text, "lar recall ask 'Who buys the samovar?'")
    ask.add_argument("text", nargs="+", help="the question")
    _with_narrowing(ask)
    ask.add_argument("--model", help="the model that answers (default: models.default)")
    ask.add_argument("--limit", type=whole, default=8, help="passages to give it at most (default: 8)")
    ask.add_argument("--max-tokens", type=whole, help="length of the answer at most (default: 512)")
    with_json(ask)


def _add_looking(actions: Any) -> None:
    text = "list collections, or the documents of one, or what is remembered"
    example = "lar recall list notes --status failed"
    listing = add_command(actions, "list", "recall_list", "list_known", text, example)
    listing.add_argument("collection", nargs="?", help=_COLLECTION)
    listing.add_argument("--memory", action="store_true", help="list what is remembered")
    listing.add_argument("--limit", type=whole, default=100, help="lines at most (default: 100)")
    listing.add_argument(
        "--status",
        choices=("in_progress", "completed", "failed", "cancelled"),
        help="only documents of this status",
    )
    listing.add_argument("--ended", action="store_true", help="items that were superseded, too")
    _with_scope(listing)
    with_json(listing)

    text = "show a document, an item of memory, or a collection"
    show = add_command(actions, "show", "recall_show", "show", text, "lar recall show tea.md -c notes --text")
    show.add_argument("name", help="id or name")
    show.add_argument("-c", "--collection", help="where to look for a name (default: everywhere)")
    show.add_argument("--text", action="store_true", help="the whole text of a document as it was read")
    show.add_argument("--chunks", action="store_true", help="the pieces of a document")
    with_json(show)

    text = "list the work behind the scenes, or follow, end or repeat one piece of it"
    jobs = add_command(actions, "jobs", "recall_jobs", "jobs", text, "lar recall jobs job_0190 --wait")
    jobs.add_argument("job", nargs="?", help="id of a job")
    jobs.add_argument("--limit", type=whole, default=20, help="jobs to list (default: 20)")
    group = jobs.add_mutually_exclusive_group()
    group.add_argument("--wait", action="store_true", help="wait until it has ended")
    group.add_argument("--cancel", action="store_true", help="end it; what it has stored stays")
    group.add_argument("--retry", action="store_true", help="try again what failed in it")
    with_json(jobs)


def _add_sources(actions: Any) -> None:
    text = "list the places that are followed, or change one"
    example = "lar recall sources src_0190 --pause"
    sources = add_command(actions, "sources", "recall_sources", "sources", text, example)
    sources.add_argument("source", nargs="?", help="id or address of a source")
    sources.add_argument("-c", "--collection", help=_COLLECTION)
    group = sources.add_mutually_exclusive_group()
    group.add_argument("--pause", action="store_true", help="stop following it for now")
    group.add_argument("--resume", action="store_true", help="follow it again")
    group.add_argument("--remove", action="store_true", help="follow it no more and forget its documents")
    sources.add_argument("--keep-documents", action="store_true", help="with --remove: keep its documents")
    _with_yes(sources)
    with_json(sources)

    text = "look at followed places now"
    sync = add_command(
        actions, "sync", "recall_sources", "sync", text, "lar recall sync https://example.org/"
    )
    sync.add_argument("sources", nargs="*", metavar="SOURCE", help="ids or addresses (default: all)")
    sync.add_argument("--no-wait", action="store_true", help="do not wait until they are in step")
    with_json(sync)


def _add_collections(actions: Any) -> None:
    text = "make, change and remove collections"
    example = "lar recall collections create notes --language de"
    collections = add_command(actions, "collections", "recall_list", "list_known", text, example)
    collections.set_defaults(json=False, memory=False, collection=None)
    below = collections.add_subparsers(title="actions", metavar="ACTION")
    create = add_command(below, "create", "recall_collections", "create", "make a collection", example)
    create.add_argument("name", help="any text of 1 to 256 characters")
    create.add_argument("--description", default="", help="what it is for")
    create.add_argument("--language", default="auto", help="ISO 639-1 code (default: found out per document)")
    create.add_argument("--model", help="the model that makes its vectors (default: models.embedding)")
    create.add_argument("--chunk-tokens", type=whole, help="length of a piece, 16 to 4096 (default: 256)")
    create.add_argument("--overlap-tokens", type=whole, default=0, help="shared by neighbours (default: 0)")
    create.add_argument("--expires-after", type=whole, metavar="DAYS", help="goes when unused that long")
    with_json(create)

    text, example = "change a collection", "lar recall collections change notes --name journal"
    change = add_command(below, "change", "recall_collections", "change", text, example)
    change.add_argument("collection", help=_COLLECTION)
    change.add_argument("--name", help="its new name")
    change.add_argument("--description", help="what it is for")
    change.add_argument("--model", help="make its vectors with this model; the old ones serve until then")
    with_json(change)

    text, example = "remove a collection with all in it", "lar recall collections remove notes --yes"
    remove = add_command(below, "remove", "recall_collections", "remove", text, example)
    remove.add_argument("collection", help=_COLLECTION)
    _with_yes(remove)


def _add_memory(actions: Any) -> None:
    text, example = "remember something", "lar recall remember 'Ana takes her tea without sugar' --user ana"
    remember = add_command(actions, "remember", "recall_memory", "remember", text, example)
    remember.add_argument("text", nargs="+", help="what to remember")
    remember.add_argument("--kind", choices=get_args(ItemKind), default="fact", help="(default: fact)")
    _with_scope(remember)
    remember.add_argument("--tag", action="append", default=[], help="a tag; may be repeated")
    remember.add_argument("--importance", type=share, default=0.5, help="0 to 1 (default: 0.5)")
    remember.add_argument("--pin", action="store_true", help="never merge it with others")
    remember.add_argument(
        "--supersedes", action="append", default=[], metavar="ITEM", help="id of an item that it replaces"
    )
    with_json(remember)

    text, example = "forget documents or items for good", "lar recall forget tea.md -c notes"
    forget = add_command(actions, "forget", "recall_forget", "forget", text, example)
    forget.add_argument("names", nargs="+", metavar="NAME", help="ids, or names of documents")
    forget.add_argument("-c", "--collection", help="where to look for names (default: everywhere)")
    _with_yes(forget)
    with_json(forget)

    text = "write what is remembered as lines of JSON"
    export = add_command(
        actions, "export", "recall_exchange", "export", text, "lar recall export memory.jsonl"
    )
    export.add_argument("file", nargs="?", default="-", help="where to (default: stdout)")
    export.add_argument("--force", action="store_true", help="overwrite a file that is there")

    text = "take in what `export` wrote"
    load = add_command(actions, "import", "recall_exchange", "load", text, "lar recall import memory.jsonl")
    load.add_argument("file", nargs="?", default="-", help="where from (default: stdin)")
    with_json(load)


def _add_upkeep(actions: Any) -> None:
    text = "measure how well a collection with judged queries (BEIR layout) is found"
    evaluate = add_command(
        actions, "eval", "recall_evaluate", "measure", text, "lar recall eval ~/beir/scifact"
    )
    evaluate.add_argument("folder", help="with corpus.jsonl, queries.jsonl and qrels.tsv or qrels/test.tsv")
    evaluate.add_argument("--model", help="the model that makes vectors (default: models.embedding)")
    evaluate.add_argument("--rerank", metavar="MODEL", help="a cross-encoder, measured as a fourth arm")
    evaluate.add_argument("--whole", action="store_true", help="do not cut documents, as published figures")
    evaluate.add_argument("--language", default="auto", help="ISO 639-1 code (default: found out)")
    evaluate.add_argument("--limit", type=whole, help="queries at most (default: all)")
    with_json(evaluate)

    text = "check the store, copy it, or put back a copy"
    doctor = add_command(actions, "doctor", "recall_doctor", "doctor", text, "lar recall doctor --repair")
    group = doctor.add_mutually_exclusive_group()
    group.add_argument("--repair", action="store_true", help="mend what is derived from what is stored")
    group.add_argument("--snapshot", action="store_true", help="copy the database now")
    group.add_argument("--snapshots", action="store_true", help="list the copies")
    group.add_argument(
        "--restore", metavar="NAME", help="put back this copy, or 'latest'; the server must be stopped"
    )
    group.add_argument(
        "--compact", action="store_true", help="make the file smaller; the server must be stopped"
    )
    _with_yes(doctor)
    with_json(doctor)


def _with_narrowing(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-c",
        "--collection",
        action="append",
        default=[],
        help=f"{_COLLECTION}; may be repeated (default: all)",
    )
    command.add_argument(
        "--filter",
        action="append",
        type=condition,
        default=[],
        metavar="'KEY OP VALUE'",
        help="such as 'year >= 2025', 'lang in de,en', 'draft exists'; all must hold",
    )
    command.add_argument("--tag", action="append", default=[], help="a tag that hits have; may be repeated")


def _with_scope(command: argparse.ArgumentParser) -> None:
    command.add_argument("--user", help="of memory: whom it concerns")
    command.add_argument("--agent", help="of memory: which agent it concerns")
    command.add_argument("--session", help="of memory: which session it concerns")


def _with_yes(command: argparse.ArgumentParser) -> None:
    command.add_argument("--yes", action="store_true", help="do not ask before")
