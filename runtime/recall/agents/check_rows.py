"""Which rows of agents must agree with which, and how those that do not are put right.

A conversation may be removed while its runs stay, and a run before its children: neither is a defect.
"""

from typing import NamedTuple

from runtime.core.agents.steps import TERMINAL

RESTORE = "Stop the server, then put back a snapshot: lar doctor --restore latest"
_FORGET = "Remove the run (DELETE /api/runs/RUN), or put back a snapshot: lar doctor --restore latest"
_REMOVED = "They are removed: nothing reaches them."
_COUNTED = "They are counted again."


class Rule(NamedTuple):
    """A statement about rows."""

    where: str
    message: str
    """Said of the number of rows that break it."""
    question: str
    """Selects the names of what breaks it."""
    repair: str
    """Empty: nothing can be derived."""
    fix: str


_ENDS = ", ".join(f"'{each}'" for each in sorted(TERMINAL))
_RUNS = "(SELECT id, key, steps FROM run UNION ALL SELECT id, key, steps FROM run_live)"
_KEYS = "SELECT key FROM run UNION ALL SELECT key FROM run_live"
_FOUND = "(SELECT run, count(*) AS found, min(number) AS low, max(number) AS high FROM run_step GROUP BY run)"
_ENDED_TWICE = "id IN (SELECT id FROM run)"
_LOST_PART = f"run NOT IN ({_KEYS})"
_LOST_ITEM = "session NOT IN (SELECT key FROM session)"
_NOTED = "(SELECT run, max(last) AS last FROM run_happening GROUP BY run)"
_ITEMS = (
    "(SELECT s.key, count(i.session) AS found, coalesce(max(i.place) + 1, 0) AS following "
    "FROM session s LEFT JOIN session_item i ON i.session = s.key GROUP BY s.key)"
)

RULES = (
    Rule(
        "runs",
        "runs are stored as ended and as going on.",
        f"SELECT id FROM run_live WHERE {_ENDED_TWICE}",  # noqa: S608 - constants
        f"DELETE FROM run_live WHERE {_ENDED_TWICE}",  # noqa: S608 - constants
        "They are taken as ended: that is the later word.",
    ),
    Rule(
        "runs",
        "numbers are borne by several runs: something else has written here.",
        f"SELECT key FROM ({_KEYS}) GROUP BY key HAVING count(*) > 1",  # noqa: S608 - constants
        "",
        RESTORE,
    ),
    Rule(
        "runs",
        "runs have a status that does not fit where they are stored.",
        f"SELECT id FROM run WHERE status NOT IN ({_ENDS}) "  # noqa: S608 - constants
        f"UNION ALL SELECT id FROM run_live WHERE status IN ({_ENDS})",
        "",
        _FORGET,
    ),
    Rule(
        "runs",
        "runs have no step, or not all of them: they can neither go on nor be shown.",
        f"SELECT r.id FROM {_RUNS} r LEFT JOIN {_FOUND} s ON s.run = r.key "  # noqa: S608 - constants
        "WHERE r.steps = 0 OR coalesce(s.found, 0) <> r.steps OR s.low <> 0 OR s.high <> r.steps - 1",
        "",
        _FORGET,
    ),
    Rule(
        "steps",
        "numbers of runs have steps, but no run.",
        f"SELECT DISTINCT run FROM run_step WHERE {_LOST_PART}",  # noqa: S608 - constants
        f"DELETE FROM run_step WHERE {_LOST_PART}",  # noqa: S608 - constants
        _REMOVED,
    ),
    Rule(
        "happenings",
        "numbers of runs have happenings, but no run.",
        f"SELECT DISTINCT run FROM run_happening WHERE {_LOST_PART}",  # noqa: S608 - constants
        f"DELETE FROM run_happening WHERE {_LOST_PART}",  # noqa: S608 - constants
        _REMOVED,
    ),
    Rule(
        "happenings",
        "runs would give numbers of happenings out again.",
        f"SELECT r.id FROM run_live r JOIN {_NOTED} n ON n.run = r.key WHERE r.noted <= n.last",  # noqa: S608 - constants
        f"UPDATE run_live SET noted = n.last + 1 FROM {_NOTED} n "  # noqa: S608 - constants
        "WHERE n.run = run_live.key AND noted <= n.last",
        _COUNTED,
    ),
    Rule(
        "conversations",
        "numbers of conversations have items, but no conversation.",
        f"SELECT DISTINCT session FROM session_item WHERE {_LOST_ITEM}",  # noqa: S608 - constants
        f"DELETE FROM session_item WHERE {_LOST_ITEM}",  # noqa: S608 - constants
        _REMOVED,
    ),
    Rule(
        "conversations",
        "conversations count other items than they have.",
        f"SELECT s.id FROM session s JOIN {_ITEMS} i ON i.key = s.key "  # noqa: S608 - constants
        "WHERE s.items <> i.found OR s.next_place < i.following",
        f"UPDATE session SET items = i.found, next_place = greatest(next_place, i.following) "  # noqa: S608 - constants
        f"FROM {_ITEMS} i WHERE i.key = session.key AND (items <> i.found OR next_place < i.following)",
        _COUNTED,
    ),
)
"""In the order of their repairs: what a repair leaves alone, the next one finds."""
