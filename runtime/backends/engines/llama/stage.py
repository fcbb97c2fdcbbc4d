"""All that exists once a model is loaded: its context, the planner of it, and what was measured of both."""

import hashlib
import time
from pathlib import Path

import llama_cpp

from runtime.backends.engines.llama.calls.forms import find_form
from runtime.backends.engines.llama.context import MOST_SEQUENCES, Context
from runtime.backends.engines.llama.gain import CostCurve
from runtime.backends.engines.llama.grammar.compiler import Compiler
from runtime.backends.engines.llama.grammar.tokenizer import LazyTokenizer
from runtime.backends.engines.llama.intake import Intake
from runtime.backends.engines.llama.keeper import Keeper
from runtime.backends.engines.llama.logs import LogFilter
from runtime.backends.engines.llama.model import Model
from runtime.backends.engines.llama.pace import Pace
from runtime.backends.engines.llama.plan import Span
from runtime.backends.engines.llama.planner import Planner
from runtime.backends.engines.llama.script import Script
from runtime.backends.engines.llama.vault import Vault
from runtime.backends.engines.llama.vault_disk import Disk
from runtime.backends.protocol import Tuning

_WARM_UP_TOKENS = 32
"""Computed twice at load: once to bring the weights into memory, once to learn the speed."""

_CURVE_ROWS = (1, 2, 4, 8, 16)
_CURVE_LIMIT_S = 3.0
"""Measuring what a step of several rows costs ends here; a model that slow guesses nothing ahead."""


class Stage:
    """One loaded model, ready to work."""

    def __init__(self, model: Model, path: Path, tuning: Tuning, logs: LogFilter) -> None:
        """Warm the model up and measure it. Raises ComputeFailed."""
        self.model = model
        self.tuning = tuning
        self.context: Context = model.context
        self.vocabulary = model.vocabulary
        self.limit = model.limit(tuning)
        self.script = Script(model.vocabulary)
        form = find_form(model.template_source)
        self.intake = Intake(model.template, form, self.script, tuning, self.limit, eyes=model.vision)
        self.pace = Pace(self.context.rows, _warm_up(self.context))
        self.curve = _measure_curve(self.context) if tuning.speculation and not model.is_exact else None
        self.ends = frozenset(model.vocabulary.ends)
        self.vault = _open_vault(model, path, tuning, logs)
        self.planner = Planner(
            capacity=self.context.capacity,
            slots=tuning.sequences,
            rows=self.context.rows,
            holders=MOST_SEQUENCES,
            store=self.vault,
            is_exact=model.is_exact,
        )
        self.keeper = Keeper(self.context, self.planner, self.vault)
        self.tokenizer = LazyTokenizer(self.vocabulary.pointer, self.vocabulary.ends)
        self.compiler = Compiler(self.tokenizer, ends=self.ends)
        self.tokenizer.begin()

    def gauges(self) -> dict[str, float]:
        """Return what is counted of cells, prefixes and grammars."""
        planner, vault = self.planner, self.vault
        counted: dict[str, float] = {
            "seqs_live": len(planner.live),
            "seqs_waiting": planner.waiting,
            "cells_used": planner.used_cells,
            "cells": self.context.capacity,
            "prefixes_parked": planner.parked,
            "prompt_tokens_computed": planner.computed_tokens,
            "prompt_tokens_shared": planner.shared_tokens,
            "grammars_compiled": self.compiler.misses,
            "grammars_reused": self.compiler.hits,
        }
        if vault is not None:
            counted["vault_prefixes"] = len(vault)
            counted["vault_ram_bytes"] = vault.ram_bytes
            counted["vault_disk_bytes"] = vault.disk_bytes
            counted["vault_hits"] = vault.hits
            counted["vault_dropped"] = vault.dropped
        return counted


def _warm_up(context: Context) -> float:
    """Compute a few tokens twice; return the tokens per second of the second time."""
    count = min(_WARM_UP_TOKENS, context.rows, context.capacity)
    _time_rows(context, count, outputs=1)
    return count / _time_rows(context, count, outputs=1)


def _measure_curve(context: Context) -> CostCurve | None:
    """Return what steps of several rows cost; None where measuring itself would take too long."""
    began = time.perf_counter()
    times: dict[int, float] = {}
    for rows in _CURVE_ROWS:
        if rows > min(context.rows, context.capacity) or time.perf_counter() - began > _CURVE_LIMIT_S:
            return None

        times[rows] = min(_time_rows(context, rows, outputs=rows) for _ in range(2))
    return CostCurve(times)


def _time_rows(context: Context, count: int, *, outputs: int) -> float:
    span = Span(seq=0, slot=0, start=0, tokens=[0] * count, outputs=outputs)
    began = time.perf_counter()
    context.compute([span])
    taken = time.perf_counter() - began
    context.drop(0)
    return taken


def _open_vault(model: Model, path: Path, tuning: Tuning, logs: LogFilter) -> Vault | None:
    """Return where prefixes go that leave the context; None where they are not to be kept."""
    disk = None
    if tuning.cache_disk_bytes > 0 and tuning.cache_folder is not None:
        disk = Disk(
            Path(tuning.cache_folder),
            identity=_identity(path, tuning),
            most_bytes=tuning.cache_disk_bytes,
            report=logs.report,
        )
    if disk is None and tuning.cache_ram_bytes <= 0:
        return None

    return Vault(ram_bytes=tuning.cache_ram_bytes, disk=disk, is_exact=model.is_exact)


def _identity(path: Path, tuning: Tuning) -> str:
    """Name all that a saved state depends on."""
    facts = path.stat()
    adapters = [(name, _stamp(Path(file))) for name, file in sorted(tuning.adapters.items())]
    projector = None if tuning.projector is None else _stamp(Path(tuning.projector))
    parts: tuple[object, ...] = (llama_cpp.__version__, facts.st_size, facts.st_mtime_ns, path.name)
    parts += (tuning.kv_type, adapters, projector)
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def _stamp(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns
