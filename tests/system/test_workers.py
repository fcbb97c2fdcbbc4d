"""Real worker processes: streaming, death, silence, noise, and that nothing is left behind."""

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import msgspec
import psutil
import pytest

from runtime.backends.connection import WorkerSpec
from runtime.backends.pool import Pool
from runtime.backends.protocol import Tuning
from runtime.backends.supervisor import Supervisor
from runtime.core.clock import SystemClock
from runtime.core.errors import ModelUnavailable
from runtime.core.events import (
    Event,
    ModelEvicted,
    ModelLoaded,
    WorkerAbandoned,
    WorkerExited,
    WorkerSilent,
    WorkerSpawned,
)
from runtime.core.ids import ModelId
from runtime.core.messages import Began, Broke, ChatRequest, Delta, Ended, Message, Output
from runtime.core.settings import BackendSettings, ModelsSettings

SETTINGS = BackendSettings(heartbeat_s=0.1, silent_after_s=3.0, step_limit_s=1.0, stop_grace_s=1.0)


class Bench:
    """A pool over scripted workers, with the facts it told."""

    def __init__(self, pool: Pool, facts: list[Event]) -> None:
        self.pool = pool
        self.facts = facts

    def told(self, kind: type[Event]) -> list[Event]:
        return [fact for fact in self.facts if isinstance(fact, kind)]

    @property
    def pid(self) -> int:
        spawned = self.told(WorkerSpawned)[-1]
        assert isinstance(spawned, WorkerSpawned)
        return spawned.pid


@asynccontextmanager
async def open_bench(
    settings: BackendSettings = SETTINGS, models: ModelsSettings | None = None, tuning: Tuning | None = None
) -> AsyncIterator[Bench]:
    facts: list[Event] = []

    def find_spec(model: ModelId, share: int) -> WorkerSpec:
        return WorkerSpec(
            model=model,
            engine="scripted",
            python=sys.executable,
            path=None,
            tuning=tuning or Tuning(threads=share),
            load_deadline_s=20.0,
        )

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            supervisor = Supervisor(settings, facts.append, SystemClock(), os.environ)
            pool = Pool(
                supervisor=supervisor,
                find_spec=find_spec,
                publish=facts.append,
                clock=SystemClock(),
                tasks=tasks,
                settings=models or ModelsSettings(),
            )
            bench = Bench(pool, facts)
            try:
                yield bench
            finally:
                await pool.aclose()
                tasks.cancel_scope.cancel()
    for fact in bench.told(WorkerSpawned):
        assert isinstance(fact, WorkerSpawned)
        assert not psutil.pid_exists(fact.pid), "a worker was left behind"


def ask(text: str, model: str = "m") -> ChatRequest:
    return ChatRequest(model=ModelId(model), messages=(Message(role="user", content=text),))


async def outputs(bench: Bench, request: ChatRequest) -> list[Output]:
    async with bench.pool.lease(request.model) as lease, lease.generate(request, 0) as generation:
        return [output async for output in generation]


def text_of(answer: list[Output]) -> str:
    return "".join(each.text for each in answer if isinstance(each, Delta))


def fault_code(answer: list[Output]) -> str:
    assert isinstance(answer[-1], Broke)
    return answer[-1].fault.code


async def test_a_worker_answers_and_the_next_request_finds_it_loaded() -> None:
    async with open_bench() as bench:
        first = await outputs(bench, ask("[[say: hello there]]"))
        second = await outputs(bench, ask("[[say: again]]"))

    assert isinstance(first[0], Began)
    assert isinstance(first[-1], Ended)
    assert text_of(first) == "hello there"
    assert text_of(second) == "again"
    assert len(bench.told(ModelLoaded)) == 1


async def test_several_generations_share_one_worker() -> None:
    answers: dict[int, str] = {}
    async with open_bench() as bench:

        async def one(number: int) -> None:
            answers[number] = text_of(await outputs(bench, ask(f"[[say: answer {number}]]")))

        async with anyio.create_task_group() as tasks:
            for number in range(16):
                tasks.start_soon(one, number)

    assert answers == {number: f"answer {number}" for number in range(16)}
    assert len(bench.told(WorkerSpawned)) == 1


async def test_a_killed_worker_breaks_its_streams_and_the_next_request_gets_a_new_one() -> None:
    async with open_bench() as bench:
        request = ask("[[slow: 20ms]] [[long: 500]]")
        async with bench.pool.lease(request.model) as lease, lease.generate(request, 0) as generation:
            answer: list[Output] = []
            async for output in generation:
                answer.append(output)
                if len(answer) == 3:
                    os.kill(bench.pid, signal.SIGKILL)
        after = await outputs(bench, ask("[[say: alive]]"))

    assert fault_code(answer) == "worker_died"
    assert "SIGKILL" in answer[-1].fault.message  # type: ignore[union-attr]  # fault_code asserted Broke
    assert text_of(after) == "alive"
    exits = bench.told(WorkerExited)
    assert [each.is_expected for each in exits if isinstance(each, WorkerExited)] == [False, True]


async def test_a_crash_is_told_with_the_last_words() -> None:
    async with open_bench() as bench:
        answer = await outputs(bench, ask("[[crash]]"))

    assert fault_code(answer) == "worker_died"


async def test_a_worker_that_dies_again_and_again_is_left_alone_until_somebody_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("runtime.backends.restarts.FIRST_DELAY_S", 0.01)
    async with open_bench() as bench:
        for _ in range(5):
            assert fault_code(await outputs(bench, ask("[[crash]]"))) == "worker_died"
        with pytest.raises(ModelUnavailable, match="died 5 times"):
            await outputs(bench, ask("hello"))
        bench.pool.forgive(ModelId("m"))
        after = await outputs(bench, ask("[[say: back]]"))

    assert len(bench.told(WorkerAbandoned)) == 1
    assert text_of(after) == "back"


async def test_a_hanging_engine_is_killed_and_told() -> None:
    async with open_bench() as bench:
        answer = await outputs(bench, ask("[[hang]]"))
        after = await outputs(bench, ask("[[say: alive]]"))

    assert fault_code(answer) == "worker_silent"
    assert len(bench.told(WorkerSilent)) == 1
    assert text_of(after) == "alive"


async def test_a_stopped_process_counts_as_silent() -> None:
    settings = msgspec.structs.replace(SETTINGS, silent_after_s=0.5)
    async with open_bench(settings) as bench:
        request = ask("[[slow: 20ms]] [[long: 500]]")
        async with bench.pool.lease(request.model) as lease, lease.generate(request, 0) as generation:
            answer: list[Output] = []
            async for output in generation:
                answer.append(output)
                if len(answer) == 2:
                    os.kill(bench.pid, signal.SIGSTOP)

    assert fault_code(answer) == "worker_silent"


async def test_noise_on_stdout_does_not_disturb_the_frames() -> None:
    async with open_bench() as bench:
        answer = await outputs(bench, ask("[[noise]] [[say: clear]]"))

    assert text_of(answer) == "clear"


async def test_leaving_a_generation_stops_it_within_one_step() -> None:
    async with open_bench() as bench:
        request = ask("[[slow: 20ms]] [[long: 500]]")
        async with bench.pool.lease(request.model) as lease, lease.generate(request, 0) as generation:
            answer: list[Output] = []
            async for output in generation:
                answer.append(output)
                if len(answer) == 4:
                    generation.cancel()

    assert isinstance(answer[-1], Ended)
    assert answer[-1].reason == "cancelled"
    assert answer[-1].usage.completion_tokens < 10


async def test_a_reader_that_does_not_read_holds_back_only_itself() -> None:
    async with open_bench() as bench:
        slow, fast = ask("[[long: 3000]]"), ask("[[long: 300]]")
        async with bench.pool.lease(slow.model) as lease, lease.generate(slow, 0) as unread:
            quick = await outputs(bench, fast)
            late = [output async for output in unread]

    assert isinstance(quick[-1], Ended)
    assert isinstance(late[-1], Ended)
    assert late[-1].usage.completion_tokens >= 3000


async def test_models_make_room_for_each_other_the_least_recently_used_first() -> None:
    async with open_bench(models=ModelsSettings(max_loaded=2)) as bench:
        for model in ("a", "b", "a", "c"):
            await outputs(bench, ask("hello", model))

    evicted = [each.model for each in bench.told(ModelEvicted) if isinstance(each, ModelEvicted)]
    assert evicted[0] == "b"


async def test_a_busy_model_is_not_evicted_and_the_newcomer_waits() -> None:
    async with open_bench(models=ModelsSettings(max_loaded=1)) as bench:
        seen: list[str] = []

        async def newcomer() -> None:
            await outputs(bench, ask("hello", "b"))
            seen.append("b")

        async with anyio.create_task_group() as tasks:
            request = ask("[[slow: 5ms]] [[long: 30]]", "a")
            async with bench.pool.lease(request.model) as lease, lease.generate(request, 0) as generation:
                tasks.start_soon(newcomer)
                answer = [output async for output in generation]
                seen.append("a")

    assert isinstance(answer[-1], Ended)
    assert seen == ["a", "b"]


async def test_an_interpreter_that_is_missing_is_a_clear_error() -> None:
    async with open_bench() as bench:
        supervisor = Supervisor(SETTINGS, bench.facts.append, SystemClock(), os.environ)
        spec = WorkerSpec(
            model=ModelId("m"),
            engine="scripted",
            python="/nowhere/python",
            path=None,
            tuning=Tuning(),
            load_deadline_s=5,
        )
        with pytest.raises(ModelUnavailable, match="cannot be started"):
            async with supervisor.open_worker(spec):
                pass


async def test_an_engine_whose_library_is_missing_is_a_clear_error() -> None:
    async with open_bench() as bench:
        supervisor = Supervisor(SETTINGS, bench.facts.append, SystemClock(), os.environ)
        spec = WorkerSpec(
            model=ModelId("m"),
            engine="llama",
            python=sys.executable,
            path="x.gguf",
            tuning=Tuning(),
            load_deadline_s=5,
        )
        with pytest.raises(ModelUnavailable, match="incomplete"):
            async with supervisor.open_worker(spec):
                pass
