"""How much memory models may still take: what the machine has free, less what loaded models have yet to take.

A model takes its memory bit by bit, and weights that are mapped into memory look free to the system, since it
could drop and read them again. So each loaded model counts with all that it was estimated to need, whatever
it has taken so far.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import psutil

from runtime.backends.connection import WorkerSpec
from runtime.backends.hardware import Probe, read_accelerators, read_memory
from runtime.core.errors import Fault
from runtime.core.placement import Needs, Room
from runtime.core.settings import GIB, MIB

_RESERVE_SHARE = 0.05
_LEAST_RESERVE_BYTES, _MOST_RESERVE_BYTES = 256 * MIB, 2 * GIB
"""What is left to the system, the server and whatever else runs."""
_DEVICE_SHARE = 0.95
"""Of an accelerator's memory, what models may take; its driver keeps some."""


class Measured(NamedTuple):
    """What the machine said at one moment."""

    free_bytes: int
    """What programs could still take, less the reserve."""
    held: Mapping[int, int]
    """By process: what it has taken that cannot be dropped."""
    device_bytes: int | None
    """Of all accelerators together; None where it is unknown."""


class Holding(NamedTuple):
    """A resident model, for the sums."""

    spec: WorkerSpec
    pid: int | None
    """None until its process runs."""


class MachineMemory:
    """Measures this machine."""

    def __init__(self, probe: Probe, limit_bytes: int | None) -> None:
        self._probe = probe
        self.limit_bytes = limit_bytes
        self._device_bytes: int | None = None
        self._has_asked = False

    def measure(self, pids: Sequence[int], *, has_device: bool) -> Measured:
        """Ask the machine; `has_device`: about accelerators, too. Blocking: use a thread."""
        memory = read_memory(self._probe)
        if has_device and not self._has_asked:
            known = [each.memory_bytes or 0 for each in read_accelerators(self._probe)]
            self._device_bytes = int(sum(known) * _DEVICE_SHARE) or None
            self._has_asked = True

        reserve = min(
            max(int(memory.total_bytes * _RESERVE_SHARE), _LEAST_RESERVE_BYTES), _MOST_RESERVE_BYTES
        )
        return Measured(
            free_bytes=memory.available_bytes - reserve,
            held={pid: _held_bytes(pid) for pid in pids},
            device_bytes=self._device_bytes,
        )


def needs_of(spec: WorkerSpec) -> Needs:
    """Return what the model takes; nothing where it could not be estimated."""
    if spec.estimate is None:
        return Needs()

    return Needs(main_bytes=spec.estimate.total_bytes, device_bytes=spec.estimate.device_bytes)


def gives_of(holding: Holding, measured: Measured) -> Needs:
    """Return what comes free when the model leaves."""
    needs = needs_of(holding.spec)
    held = measured.held.get(holding.pid, 0) if holding.pid is not None else 0
    return Needs(main_bytes=max(needs.main_bytes, held), device_bytes=needs.device_bytes)


def room_beside(holdings: Sequence[Holding], measured: Measured, limit_bytes: int | None) -> Room:
    """Return what another model may take. Pure."""
    needs = [needs_of(each.spec) for each in holdings]
    due = sum(
        max(0, need.main_bytes - (measured.held.get(each.pid, 0) if each.pid is not None else 0))
        for need, each in zip(needs, holdings, strict=True)
    )
    main_bytes = measured.free_bytes - due
    if limit_bytes is not None:
        main_bytes = min(main_bytes, limit_bytes - sum(each.main_bytes for each in needs))

    device_bytes = measured.device_bytes
    if device_bytes is not None:
        device_bytes -= sum(each.device_bytes for each in needs)
    return Room(main_bytes=main_bytes, device_bytes=device_bytes)


def explain_refusal(spec: WorkerSpec, at_best: Room, limit_bytes: int | None) -> Fault:
    """Say what is needed, what there is, what holds the rest, and what to do."""
    estimate = spec.estimate
    assert estimate is not None, "what is not estimated is not refused"
    key = f"model.{spec.model}"
    is_main = at_best.main_bytes is not None and estimate.total_bytes > at_best.main_bytes
    if not is_main:
        message = (
            f"'{spec.model}' needs {tell_bytes(estimate.device_bytes)} of the accelerator's memory, which "
            f"has {tell_bytes(at_best.device_bytes or 0)}. Lower {key}.gpu_layers or {key}.context_tokens in "
            "lar.toml."
        )
        return Fault(code="insufficient_memory", message=message)

    limited = limit_bytes is not None and limit_bytes < estimate.total_bytes
    holder = (
        "models.memory_bytes in lar.toml allows no more"
        if limited
        else "other programs and the system's reserve hold the rest"
    )
    fixes = [f"lower {key}.context_tokens ({spec.tuning.context_tokens} now)"]
    if spec.tuning.kv_type in ("f32", "f16", "bf16"):
        fixes.append(f'set {key}.kv_type = "q8_0"')
    if spec.tuning.cache_ram_bytes:
        fixes.append(f"lower {key}.cache_ram_bytes ({tell_bytes(spec.tuning.cache_ram_bytes)} now)")
    fixes.append("raise models.memory_bytes" if limited else "close other programs")
    message = (
        f"'{spec.model}' needs {tell_bytes(estimate.total_bytes)} of memory: weights "
        f"{tell_bytes(estimate.weights_bytes)}, context and cached prefixes "
        f"{tell_bytes(estimate.cache_bytes)}, the rest for computing. At best "
        f"{tell_bytes(max(0, at_best.main_bytes or 0))} can be had, without any other model; {holder}. "
        f"In lar.toml: {', or '.join(fixes)}."
    )
    return Fault(code="insufficient_memory", message=message)


def tell_bytes(count: int) -> str:
    """Write a size for people."""
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / MIB:.0f} MiB"


def _held_bytes(pid: int) -> int:
    """Return what the process has taken; 0 where it is gone or may not be asked."""
    try:
        info = psutil.Process(pid).memory_info()
    except psutil.Error:
        return 0

    # Mapped files (weights above all) are in `shared` on Linux; elsewhere nobody tells, and all counts.
    return max(0, int(info.rss) - int(getattr(info, "shared", 0)))
