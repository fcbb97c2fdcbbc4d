"""Facts name the fact that led to them."""

from runtime.core.causes import Causes
from runtime.core.events import (
    BackendInstalling,
    Event,
    ModelLoaded,
    Progress,
    RunFinished,
    SeqDelta,
    SeqSubmitted,
    WorkerExited,
    WorkerReady,
    WorkerSpawned,
)
from runtime.core.ids import CallId, ModelId, PrincipalId, WorkerId
from runtime.core.messages import Usage
from runtime.core.tool_facts import ToolFinished, ToolRequested, ToolStarted

MODEL, FIRST, SECOND = ModelId("m"), WorkerId("w1"), WorkerId("w2")


def spawned(worker: WorkerId) -> WorkerSpawned:
    return WorkerSpawned(worker=worker, model=MODEL, engine="e", pid=1)


def causes_of(*events: Event) -> list[int | None]:
    """Publish facts with the numbers 1, 2, … and return their causes."""
    causes = Causes()
    found: list[int | None] = []
    for seq, event in enumerate(events, start=1):
        found.append(causes.find(event))
        causes.note(event, seq)
    return found


def test_the_facts_of_a_worker_follow_each_other_and_a_new_one_follows_the_old_ones_end() -> None:
    exited = WorkerExited(worker=FIRST, model=MODEL, returncode=-9, is_expected=False, last_words="")
    loaded = ModelLoaded(model=MODEL, worker=FIRST, context_tokens=1, duration_s=1.0)

    found = causes_of(
        spawned(FIRST), WorkerReady(worker=FIRST, engine_version="1"), loaded, exited, spawned(SECOND)
    )

    assert found == [None, 1, 2, 3, 4]


def test_choices_of_a_run_do_not_cause_each_other() -> None:
    delta = SeqDelta(index=0, text="x", tokens=1)

    found = causes_of(
        SeqSubmitted(index=0), SeqSubmitted(index=1), delta, SeqDelta(index=1, text="y", tokens=1)
    )

    assert found == [None, None, 1, 2]


def test_things_of_different_kinds_stay_apart() -> None:
    progress = BackendInstalling(backend="m", progress=Progress(phase="p"))

    assert causes_of(spawned(FIRST), progress, progress) == [None, None, 2]


def test_what_is_about_nothing_in_particular_has_the_cause_that_its_asker_names() -> None:
    assert Causes().find(RunFinished(usage=Usage()), otherwise=7) == 7


def test_the_facts_of_a_call_follow_each_other_and_the_next_call_begins_anew() -> None:
    first, other = CallId("call_1"), CallId("call_2")
    asked = ToolRequested(call=first, server="s", tool="t", principal=PrincipalId("owner"), door="api")
    done = ToolFinished(call=first, took_s=1.0, result_bytes=2, is_error=False)
    again = ToolRequested(call=other, server="s", tool="t", principal=PrincipalId("owner"), door="api")

    assert causes_of(asked, ToolStarted(call=first), done, again) == [None, 1, 2, None]
