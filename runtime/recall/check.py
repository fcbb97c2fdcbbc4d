"""The doctor of the store: reads all of it, says what is wrong and why, and repairs what is derived.

Truth is never made up: a row that cannot be read, or bytes that are gone, are told with the way out.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from itertools import groupby
from typing import NamedTuple

import duckdb

from runtime.core.errors import LarError
from runtime.core.ids import ChunkId
from runtime.core.recall import Finding
from runtime.recall.blobs import BlobStore
from runtime.recall.check_rows import RESTORE, RULES, Rule
from runtime.recall.copying import print_of, tables
from runtime.recall.files import named_hashes
from runtime.recall.truth import Pen, Truth


class TextIndex(NamedTuple):
    """What the check asks of the text index."""

    counted: Callable[[], Awaitable[int]]
    """How many chunks are in it, once it has followed what was committed before the call."""
    rebuild: Callable[[], Awaitable[None]]


async def check_store(
    truth: Truth, blobs: BlobStore, *, text: TextIndex | None = None, is_repairing: bool = False
) -> list[Finding]:
    """Read everything and return what is wrong; modifies nothing unless `is_repairing`."""
    unreadable = await _check_tables(truth)
    if unreadable:  # what cannot be read cannot be compared
        return unreadable

    return [
        *await _check_rows(truth, is_repairing),
        *await _check_blobs(truth, blobs, is_repairing),
        *await _check_text(truth, text, is_repairing),
    ]


async def _check_tables(truth: Truth) -> list[Finding]:
    """Read every row of every table."""
    findings: list[Finding] = []
    for table in await truth.database.use_cursor(tables):
        try:
            await truth.database.use_cursor(partial(print_of, table=table))
        except (duckdb.Error, LarError) as problem:
            message = f"It cannot be read: {str(problem).splitlines()[0]}"
            findings.append(Finding(severity="damage", where=f"table {table}", message=message, fix=RESTORE))
    return findings


async def _check_rows(truth: Truth, is_repairing: bool) -> list[Finding]:
    """Ask every rule; each repair leaves the rows as the next rule expects them."""
    findings: list[Finding] = []
    present = set(await truth.database.use_cursor(tables))
    for rule in RULES:
        if rule.table not in present:
            continue

        wrong = (await truth.read(f"SELECT count(*) FROM ({rule.question})"))[0][0]  # noqa: S608 - constants
        if not wrong:
            continue

        is_repaired = is_repairing and bool(rule.repair)
        if is_repaired:
            await truth.write(partial(_repair, rule=rule))
        findings.append(
            Finding(
                severity="inconsistency",
                where=rule.where,
                message=f"{wrong} {rule.message}",
                fix=rule.fix,
                is_repaired=is_repaired,
            )
        )
    return findings


def _repair(pen: Pen, rule: Rule) -> None:
    affected = sorted(pen.rows(rule.question)) if rule.concerns_chunks else []
    pen.execute(rule.repair)
    for ns, rows in groupby(affected, key=lambda row: row[0]):
        pen.log(ns, [ChunkId(row[1]) for row in rows], "remove")


async def _check_blobs(truth: Truth, blobs: BlobStore, is_repairing: bool) -> list[Finding]:
    """Hash every content that a row names."""
    present = await blobs.hashes()
    rows = await truth.read("SELECT sha256, min(name) FROM file GROUP BY sha256")
    uploaded: dict[str, str] = dict(rows)
    named = await named_hashes(truth)
    findings: list[Finding] = []
    for sha256 in sorted(uploaded.keys() | (named & present)):
        is_whole = await blobs.verify(sha256)
        if not is_whole:
            state = "are gone" if is_whole is None else "are not what was stored"
            of = uploaded.get(sha256, "a document")
            findings.append(
                Finding(
                    severity="damage",
                    where=f"files/{sha256[:2]}/{sha256}",
                    message=f"The bytes of {of!r} {state}: the disk failed, or something else wrote there.",
                    fix="Upload the file again: that puts the bytes back. Documents made of it are whole.",
                )
            )
    unnamed = present - named
    if unnamed:
        if is_repairing:
            await blobs.sweep(lambda: named_hashes(truth))
        findings.append(
            Finding(
                severity="waste",
                where="files",
                message=f"{len(unnamed)} contents belong to nothing any more.",
                fix="The running server removes them by itself.",
                is_repaired=is_repairing,
            )
        )
    return findings


async def _check_text(truth: Truth, text: TextIndex | None, is_repairing: bool) -> list[Finding]:
    """Compare the number of chunks in the index of words with that of the rows."""
    if text is None:
        return []

    indexed = await text.counted()
    stored = int((await truth.read("SELECT count(*) FROM chunk"))[0][0])
    if indexed == stored:
        return []

    if is_repairing:
        await text.rebuild()
    return [
        Finding(
            severity="inconsistency",
            where="text index",
            message=f"It knows {indexed} chunks where {stored} are stored.",
            fix="It is made anew from the stored chunks.",
            is_repaired=is_repairing,
        )
    ]
