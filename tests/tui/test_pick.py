import pytest

from runtime.core.events import Envelope, ModelEvicted, RunFailed
from runtime.core.ids import RunId
from tests.kit.fake_source import SMALL
from tui.summary import row_of
from tui.widgets.pick import picker

FAILED = row_of(
    Envelope(seq=1, at=0, event=RunFailed(code="worker_died", message="It Died."), run_id=RunId("run_1"))
)
EVICTED = row_of(Envelope(seq=2, at=0, event=ModelEvicted(model=SMALL, reason="idle")))


@pytest.mark.parametrize(
    ("query", "kinds"),
    [
        ("", ["run.failed", "model.evicted"]),
        ("run.*", ["run.failed"]),
        ("-run.*", ["model.evicted"]),
        ("kind:model.evicted", ["model.evicted"]),
        ("DIED", ["run.failed"]),
        ("qwen idle", ["model.evicted"]),
        ("qwen died", []),
        ("level:bad", ["run.failed"]),
        ("-", ["run.failed", "model.evicted"]),
        ("[", []),
    ],
)
def test_a_row_is_picked_when_every_word_matches(query: str, kinds: list[str]) -> None:
    assert [row.kind for row in (FAILED, EVICTED) if picker(query)(row)] == kinds
