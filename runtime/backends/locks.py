"""One install of a thing at a time, across all Lar processes on this machine that share a LAR_HOME.

The lock is the operating system's on an open file, so a process that dies gives it back, however it died.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from filelock import FileLock, Timeout

_POLL_S = 0.25
"""How often a held lock is tried again. Installs take seconds to minutes."""


class LockHeld(Exception):
    """Somebody else has had the lock all the time."""


@asynccontextmanager
async def hold_lock(path: Path, *, deadline_s: float, on_wait: Callable[[], None]) -> AsyncIterator[None]:
    """Hold the lock while the context lasts; `on_wait` is called once if somebody else has it.

    Raises LockHeld when it cannot be had within `deadline_s`.
    """
    await anyio.to_thread.run_sync(lambda: path.parent.mkdir(parents=True, exist_ok=True))
    # Taken and given back from worker threads, so it must not belong to one of them.
    lock = FileLock(path, thread_local=False)
    try:
        with anyio.move_on_after(deadline_s):
            await _acquire(lock, on_wait)

        if not lock.is_locked:
            raise LockHeld

        yield
    finally:
        if lock.is_locked:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(lock.release)


async def _acquire(lock: FileLock, on_wait: Callable[[], None]) -> None:
    if await anyio.to_thread.run_sync(_try_acquire, lock):
        return

    on_wait()
    while not await anyio.to_thread.run_sync(_try_acquire, lock):  # noqa: ASYNC110 - other processes do not tell
        await anyio.sleep(_POLL_S)


def _try_acquire(lock: FileLock) -> bool:
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False

    return True
