"""Carries batches out, for as long as the server lives, and takes them up again after a restart.

    validating ─ in_progress ─ finalizing ─ completed | expired | cancelled       (or: validating ─ failed)
What a line came to is on disk before the next is taken, so none is answered twice. A line that a crash cut
off is made again; a response goes on by itself and is only waited for.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
import msgspec
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream

from runtime.api.openai.batch_files import BatchFiles
from runtime.api.openai.batch_input import InputLine, check_file, read_lines
from runtime.api.openai.batch_lines import Line, LineDesk, Patience, output_line, pause, usage_of
from runtime.api.openai.batch_words import (
    KIND,
    LINE_KIND,
    OVER,
    BatchError,
    BatchState,
    Counts,
    End,
    LineBody,
    LineRow,
    LineUsage,
    line_key,
    moved,
    number_of,
)
from runtime.core.agents.ports import Records
from runtime.core.clock import Clock
from runtime.core.errors import Conflict, Fault, LarError, NotFound
from runtime.core.ids import RunId, TenantId

logger = logging.getLogger(__name__)

BATCHES_AT_ONCE = 4
LINES_AT_ONCE = 8
"""Of one batch. The queue of the model decides who is next; more would only fill it."""
LOOK_EVERY_S = 30.0
"""How soon a batch is taken up again that could not go on."""
_READ_AT_ONCE = 200
_GOES_ON_S = 5.0
"""For writing down what a line came to, when everything else is to stop."""

TellEnd = Callable[[TenantId, str, str, float], Awaitable[None]]
"""Makes the end of a batch known, at least once: its tenant, `batch.completed` and the like, its id, when."""


@dataclass(slots=True)
class _Live:
    """A batch that is being worked on."""

    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    """Of its lines."""
    counts: Counts = field(default_factory=Counts)
    usage: LineUsage = field(default_factory=LineUsage)
    done: set[int] = field(default_factory=set)
    begun: dict[int, RunId] = field(default_factory=dict)
    """Responses that go on without anybody who waits for them."""
    is_resumed: bool = False
    """Another server has begun its lines, or this one before something went wrong."""


class BatchService:
    """All batches of all tenants."""

    def __init__(
        self,
        records: Records,
        files: BatchFiles,
        desk: LineDesk,
        clock: Clock,
        tell: TellEnd,
        longest_line: int,
        wait: Callable[[float], Awaitable[None]] = pause,
    ) -> None:
        self._records = records
        self._files = files
        self._desk = desk
        self._clock = clock
        self._tell = tell
        self._longest = longest_line
        self._wait = wait
        self._live: dict[str, _Live] = {}
        self._held: set[str] = set()
        """Batches that could not go on; they are tried again at the next look by the clock."""
        self._lock = anyio.Lock()
        self._woken = anyio.Event()

    async def run_forever(self) -> None:
        """Work on batches. For the app's task group."""
        async with anyio.create_task_group() as tasks:
            while True:
                self._woken = anyio.Event()
                await self._take_up(tasks)
                with anyio.move_on_after(LOOK_EVERY_S) as look:
                    await self._woken.wait()
                if look.cancelled_caught:
                    self._held.clear()

    async def add(self, tenant: TenantId, state: BatchState) -> BatchState:
        """Take a batch; it is safe when this returns."""
        await self._records.put(tenant, KIND, state.id, msgspec.json.encode(state), only_new=True)
        self._woken.set()
        return state

    async def find(self, tenant: TenantId, batch: str) -> BatchState:
        """Return a batch as it is now. Raises NotFound."""
        return self.as_it_is(await self._find(tenant, batch))

    def as_it_is(self, state: BatchState) -> BatchState:
        """Return a batch with how far it is just now."""
        live = self._live.get(state.id)
        if live is None or state.status in OVER or not live.counts.total:
            return state
        return msgspec.structs.replace(state, counts=live.counts, usage=live.usage)

    async def cancel(self, tenant: TenantId, batch: str) -> BatchState:
        """Begin to end a batch; what its lines have come to is kept. Raises NotFound, Conflict."""

        def cancelling(state: BatchState) -> BatchState:
            if state.status not in ("validating", "in_progress", "cancelling"):
                message = f"Cannot cancel a batch with status '{state.status}'."
                raise Conflict(Fault(code="conflict", message=message))
            return state if state.status == "cancelling" else moved(state, "cancelling", self._clock.now())

        state = await self._change(tenant, batch, cancelling)
        live = self._live.get(batch)
        if live is not None:
            live.scope.cancel()
        self._woken.set()
        return self.as_it_is(state)

    async def _take_up(self, tasks: TaskGroup) -> None:
        """Begin to work on as many batches as may be worked on side by side."""
        try:
            waiting = await self._open()
        except LarError as problem:
            logger.warning("batches cannot be read", extra={"cause": problem.fault.message})
            return
        for tenant, state in waiting[: max(0, BATCHES_AT_ONCE - len(self._live))]:
            self._live[state.id] = _Live()
            tasks.start_soon(self._work, tenant, state.id)

    async def _open(self) -> list[tuple[TenantId, BatchState]]:
        """Return what can be taken up: by turns of the tenants, each one's oldest first."""
        found: list[tuple[TenantId, BatchState]] = []
        after: str | None = None
        while rows := await self._records.list_records(None, KIND, after=after, limit=_READ_AT_ONCE):
            states = [(tenant, msgspec.json.decode(body, type=BatchState)) for tenant, _, body in rows]
            found += [
                (tenant, state)
                for tenant, state in states
                if not state.is_settled and state.id not in self._live and state.id not in self._held
            ]
            after = rows[-1][1]
        turns: dict[TenantId, int] = {}
        ordered: list[tuple[int, int, TenantId, BatchState]] = []
        for place, (tenant, state) in enumerate(found):
            turns[tenant] = turns.get(tenant, 0) + 1
            ordered.append((turns[tenant], place, tenant, state))
        return [(tenant, state) for _, _, tenant, state in sorted(ordered, key=lambda each: each[:2])]

    async def _work(self, tenant: TenantId, batch: str) -> None:
        """Bring one batch to its end; what goes wrong with it holds back no other."""
        try:
            first = await self._find(tenant, batch)
            self._live[batch].is_resumed = first.status != "validating"
            while not (state := await self._find(tenant, batch)).is_settled:
                await self._step(tenant, state)
        except NotFound:
            logger.warning("a batch is gone", extra={"batch": batch})
        except LarError as problem:
            self._held.add(batch)
            logger.warning("a batch cannot go on now", extra={"batch": batch, "cause": problem.fault.message})
        except Exception:
            self._held.add(batch)
            logger.exception("a batch broke off", extra={"batch": batch})
        finally:
            del self._live[batch]
            self._woken.set()

    async def _step(self, tenant: TenantId, state: BatchState) -> None:
        match state.status:
            case "validating":
                await self._validate(tenant, state)
            case "in_progress":
                await self._carry_out(tenant, state)
            case "cancelling":
                await self._begin_end(tenant, state, "cancelled")
            case "finalizing":
                await self._finish(tenant, state)
            case "completed" | "failed" | "expired" | "cancelled":
                await self._settle(tenant, state)

    async def _validate(self, tenant: TenantId, state: BatchState) -> None:
        path = await self._input(tenant, state)
        if path is None:
            return
        checked = await check_file(path, state.endpoint, self._longest)
        counts = Counts(total=checked.total)

        def judged(now: BatchState) -> BatchState:
            if now.status != "validating":
                return msgspec.structs.replace(now, counts=counts, model=checked.model)
            if checked.errors:
                return moved(now, "failed", self._clock.now(), errors=checked.errors)
            return moved(now, "in_progress", self._clock.now(), counts=counts, model=checked.model)

        await self._change(tenant, state.id, judged)

    async def _carry_out(self, tenant: TenantId, state: BatchState) -> None:
        path = await self._input(tenant, state)
        if path is None:
            return
        live = self._live[state.id]
        await self._count(tenant, state, live)
        left_s = state.expires_at - self._clock.now()
        with live.scope, anyio.move_on_after(max(0.0, left_s)):
            await self._all_lines(tenant, state, path, live)
        if (await self._find(tenant, state.id)).status == "cancelling":
            return
        is_whole = len(live.done) >= state.counts.total
        await self._begin_end(tenant, state, "completed" if is_whole else "expired")

    async def _all_lines(self, tenant: TenantId, state: BatchState, path: Path, live: _Live) -> None:
        give, take = anyio.create_memory_object_stream[InputLine](0)
        async with anyio.create_task_group() as tasks:
            for _ in range(LINES_AT_ONCE):
                tasks.start_soon(self._lines, tenant, state, take.clone(), live)
            take.close()
            with give:
                async for line in read_lines(path, self._longest):
                    if line.number not in live.done:
                        await give.send(line)

    async def _lines(
        self,
        tenant: TenantId,
        state: BatchState,
        lines: MemoryObjectReceiveStream[InputLine],
        live: _Live,
    ) -> None:
        with lines:
            async for line in lines:
                if self._clock.now() >= state.expires_at:
                    return
                await self._line(tenant, state, line, live)

    async def _line(self, tenant: TenantId, state: BatchState, line: InputLine, live: _Live) -> None:
        asked = msgspec.json.decode(line.text, type=LineBody)
        key = line_key(state.id, line.number)
        patience = Patience()

        async def note(run: RunId) -> None:
            with anyio.CancelScope(shield=True), anyio.fail_after(_GOES_ON_S):
                await self._put_line(tenant, key, LineRow(run=run))

        while True:
            told = Line(key, note, live.begun.pop(line.number, None), live.is_resumed)
            answer = await self._desk.perform(state.principal, state.endpoint, bytes(asked.body), told)
            wait_s = patience.wait_s(answer)
            if wait_s is None:
                break
            await self._wait(wait_s)
        is_ok, usage = answer.status == 200, usage_of(answer)
        row = LineRow(
            is_over=True,
            is_ok=is_ok,
            output=msgspec.Raw(output_line(asked.custom_id, answer)),
            usage=usage,
        )
        with anyio.CancelScope(shield=True), anyio.fail_after(_GOES_ON_S):
            await self._put_line(tenant, key, row)
        _count_line(live, line.number, row)

    async def _put_line(self, tenant: TenantId, key: str, row: LineRow) -> None:
        await self._records.put(tenant, LINE_KIND, key, msgspec.json.encode(row))

    async def _count(self, tenant: TenantId, state: BatchState, live: _Live) -> None:
        """Find out how far the batch has come: it may have been begun before a restart."""
        live.counts, live.usage = Counts(total=state.counts.total), LineUsage()
        async for number, row in self._rows(tenant, state.id):
            if row.is_over:
                _count_line(live, number, row)
            elif row.run is not None:
                live.begun[number] = RunId(row.run)

    async def _rows(self, tenant: TenantId, batch: str) -> AsyncIterator[tuple[int, LineRow]]:
        """Yield what lines came to, by their number."""
        after = f"{batch}/"
        while rows := await self._records.list_records(tenant, LINE_KIND, after=after, limit=_READ_AT_ONCE):
            for _, key, body in rows:
                if not key.startswith(f"{batch}/"):
                    return
                yield number_of(key), msgspec.json.decode(body, type=LineRow)
            after = rows[-1][1]

    async def _begin_end(self, tenant: TenantId, state: BatchState, end: End) -> None:
        live = self._live[state.id]
        await self._count(tenant, state, live)
        for run in live.begun.values():
            await self._desk.stop(tenant, run)

        def ending(now: BatchState) -> BatchState:
            ends_as: End = "cancelled" if now.status == "cancelling" else end
            return moved(
                now, "finalizing", self._clock.now(), ends_as=ends_as, counts=live.counts, usage=live.usage
            )

        await self._change(tenant, state.id, ending)

    async def _finish(self, tenant: TenantId, state: BatchState) -> None:
        """Write the files, then the end."""
        assert state.ends_as is not None
        written = await self._files.write(tenant, state, partial(self._rows, tenant, state.id))
        end = state.ends_as

        def ended(now: BatchState) -> BatchState:
            counts = msgspec.structs.replace(now.counts, failed=now.counts.failed + written.unmade)
            return moved(
                now,
                end,
                self._clock.now(),
                ends_as=None,
                counts=counts,
                output_file_id=written.output,
                error_file_id=written.errors,
            )

        await self._change(tenant, state.id, ended)

    async def _settle(self, tenant: TenantId, state: BatchState) -> None:
        at = state.times.get(state.status, self._clock.now())
        await self._tell(tenant, f"batch.{state.status}", state.id, at)
        async for number, _ in self._rows(tenant, state.id):
            await self._records.remove(tenant, LINE_KIND, line_key(state.id, number))
        await self._change(tenant, state.id, lambda now: msgspec.structs.replace(now, is_settled=True))

    async def _input(self, tenant: TenantId, state: BatchState) -> Path | None:
        """Return where the input lies; where it is gone, the batch has failed."""
        try:
            return await self._files.input(tenant, state)
        except NotFound:
            gone = BatchError(code="file_not_found", message="The input file was removed.")
            await self._change(
                tenant, state.id, lambda now: moved(now, "failed", self._clock.now(), errors=(gone,))
            )
            return None

    async def _find(self, tenant: TenantId, batch: str) -> BatchState:
        body = await self._records.get(tenant, KIND, batch)
        if body is None:
            message = f"No batch found with id '{batch[:80]}'."
            raise NotFound(Fault(code="not_found", message=message))
        return msgspec.json.decode(body, type=BatchState)

    async def _change(
        self, tenant: TenantId, batch: str, change: Callable[[BatchState], BatchState]
    ) -> BatchState:
        """Put a batch into another state, one change at a time. Raises what `change` raises, NotFound."""
        async with self._lock:
            state = change(await self._find(tenant, batch))
            await self._records.put(tenant, KIND, batch, msgspec.json.encode(state))
            return state


def _count_line(live: _Live, number: int, row: LineRow) -> None:
    live.done.add(number)
    counts = live.counts
    live.counts = msgspec.structs.replace(
        counts, completed=counts.completed + row.is_ok, failed=counts.failed + (not row.is_ok)
    )
    live.usage += row.usage
