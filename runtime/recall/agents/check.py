"""The doctor of the server's own database: reads all of it, says what is wrong, repairs what is derived.

A step, a message or a record is never made up: what cannot be read is told with the way out.
"""

import stat
from collections.abc import Sequence
from pathlib import Path

import duckdb
import msgspec

from runtime.core.agents.items import AnyItem
from runtime.core.agents.ports import Numbered
from runtime.core.agents.steps import AnyStep, RunRecord
from runtime.core.errors import StoreUnavailable
from runtime.core.recall import Finding
from runtime.recall.agents.check_rows import RESTORE, RULES, Rule
from runtime.recall.copying import print_of, tables
from runtime.recall.damage import explain_unopened
from runtime.recall.journal import MIGRATIONS
from runtime.recall.migrating import explain_newer
from runtime.recall.privacy import make_private
from runtime.recall.wal import is_log_damaged

AGENT_SCHEMA = 2
"""From here on the tables of agents are there."""
NEWEST_SCHEMA = max(each.number for each in MIGRATIONS)
_AGENT_TABLES = ("record", "run", "run_happening", "run_live", "run_step", "session", "session_item")
_BODIES: tuple[tuple[str, str, msgspec.json.Decoder[object]], ...] = (
    ("run", "id", msgspec.json.Decoder(RunRecord)),
    ("run_live", "id", msgspec.json.Decoder(RunRecord)),
    ("run_step", "'run number ' || run || ', step ' || number", msgspec.json.Decoder(AnyStep)),
    ("run_happening", "'run number ' || run || ', from ' || first", msgspec.json.Decoder(list[Numbered])),
    ("session_item", "'conversation number ' || session || ', ' || id", msgspec.json.Decoder(AnyItem)),
)
_ROWS_AT_ONCE = 1000
_NAMED = 3
"""Of what is wrong in one way so many are named."""
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def check_connection(connection: duckdb.DuckDBPyConnection, *, is_repairing: bool = False) -> list[Finding]:
    """Read every row and ask every rule; modifies nothing unless `is_repairing`."""
    present = tables(connection)
    unreadable = _check_tables(connection, present)
    if unreadable:  # what cannot be read cannot be compared
        return unreadable

    if schema_of(connection) < AGENT_SCHEMA:
        return []

    missing = sorted(set(_AGENT_TABLES) - set(present))
    if missing:
        return [_damage(f"table {each}", "It is gone: something else has written here.") for each in missing]

    return [*_check_rules(connection, is_repairing), *_check_bodies(connection)]


def check_files(path: Path, snapshots: Path, *, is_repairing: bool = False) -> list[Finding]:
    """Look whether others than the owner may read the database, its log and its copies."""
    files = [path, path.with_name(path.name + ".wal")]
    files += sorted(snapshots.glob("*.duckdb")) if snapshots.is_dir() else []
    exposed = [each for each in files if each.exists() and each.stat().st_mode & _OTHERS]
    for each in exposed if is_repairing else ():
        make_private(each)
    return [
        Finding(
            severity="inconsistency",
            where=each.name,
            message="Other users of this machine may read or change it.",
            fix=f"Only its owner may from now on (chmod 600 {each}).",
            is_repaired=is_repairing and not each.stat().st_mode & _OTHERS,
        )
        for each in exposed
    ]


def check_file(path: Path, snapshots: Path) -> list[Finding]:
    """Check a database that no server has open; modifies nothing.

    Raises StoreUnavailable where another process has it.
    """
    log = path.with_name(path.name + ".wal")
    if not path.exists():
        if not log.exists():
            return []
        return [_damage(path.name, f"It is gone, while its write-ahead log {log.name} is there.")]

    try:
        if is_log_damaged(log):
            return [_damage(log.name, "Commits lie behind an entry that cannot be read.")]
        with duckdb.connect(str(path), read_only=True) as connection:
            reached = schema_of(connection)
            if reached > NEWEST_SCHEMA:
                return [_newer(path, reached, snapshots)]
            return [*check_connection(connection), *check_files(path, snapshots)]
    except duckdb.Error as problem:
        told = explain_unopened(path, problem, "")
        if "another process" in told:
            raise StoreUnavailable(told) from problem
        return [_damage(path.name, told.strip())]


def schema_of(connection: duckdb.DuckDBPyConnection) -> int:
    """Return up to which migration the file has come, 0 where it says nothing."""
    if "migration" not in tables(connection):
        return 0
    row = connection.execute("SELECT coalesce(max(number), 0) FROM migration").fetchone()
    assert row is not None, "an aggregate always has a row"
    return int(row[0])


def _check_tables(connection: duckdb.DuckDBPyConnection, present: Sequence[str]) -> list[Finding]:
    """Read every row of every table."""
    findings: list[Finding] = []
    for table in present:
        try:
            print_of(connection, table)
        except duckdb.Error as problem:
            findings.append(_damage(f"table {table}", f"It cannot be read: {str(problem).splitlines()[0]}"))
    return findings


def _check_rules(connection: duckdb.DuckDBPyConnection, is_repairing: bool) -> list[Finding]:
    """Ask every rule; each repair leaves the rows as the next rule expects them."""
    findings: list[Finding] = []
    for rule in RULES:
        wrong = [str(row[0]) for row in connection.execute(rule.question).fetchall()]
        if wrong:
            is_repaired = is_repairing and bool(rule.repair)
            if is_repaired:
                connection.execute(rule.repair)
            findings.append(_broken(rule, wrong, is_repaired))
    return findings


def _broken(rule: Rule, wrong: Sequence[str], is_repaired: bool) -> Finding:
    return Finding(
        severity="inconsistency" if rule.repair else "damage",
        where=rule.where,
        message=f"{len(wrong)} {rule.message} ({_some(wrong)})",
        fix=rule.fix,
        is_repaired=is_repaired,
    )


def _check_bodies(connection: duckdb.DuckDBPyConnection) -> list[Finding]:
    """Decode what every row says."""
    findings: list[Finding] = []
    for table, name, decoder in _BODIES:
        unreadable: list[str] = []
        rows = connection.execute(f"SELECT {name}, body FROM {table}")  # noqa: S608 - constants
        while page := rows.fetchmany(_ROWS_AT_ONCE):
            unreadable += [told for told, body in page if not _is_readable(decoder, body)]
        if unreadable:
            message = f"{len(unreadable)} rows say what this Lar cannot read. ({_some(unreadable)})"
            findings.append(_damage(f"table {table}", message))
    return findings


def _is_readable(decoder: msgspec.json.Decoder[object], body: str) -> bool:
    try:
        decoder.decode(body)
    except (msgspec.DecodeError, UnicodeError):
        return False
    return True


def _some(names: Sequence[str]) -> str:
    more = ", …" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def _newer(path: Path, reached: int, snapshots: Path) -> Finding:
    return Finding(
        severity="damage",
        where=path.name,
        message=explain_newer(path, reached, NEWEST_SCHEMA, snapshots),
        fix="Use that version, or: lar doctor --snapshots, then lar doctor --restore NAME",
    )


def _damage(where: str, message: str) -> Finding:
    return Finding(severity="damage", where=where, message=message, fix=RESTORE)
