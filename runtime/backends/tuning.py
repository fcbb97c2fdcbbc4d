"""How a model is run on this machine: what was set, and a default for all that was not. Pure."""

from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from runtime.backends.protocol import Tuning
from runtime.core.settings import GIB, ModelTuning

SEQUENCES = 8
"""Generations side by side where nothing else is said."""
_CONTEXT_TOKENS = 8192
"""Context of a model of the user's own that states none: a conversation's worth, and modest in memory."""
_CACHE_RAM_SHARE, _MOST_CACHE_RAM_BYTES = 0.05, 1 * GIB
_CACHE_DISK_SHARE, _MOST_CACHE_DISK_BYTES = 0.1, 4 * GIB


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What defaults depend on."""

    cores: int
    memory_bytes: int
    """All that models may ever take, free or not; 0 where it is unknown: then no prefixes are kept in it."""
    disk_free_bytes: int
    """On the disk of the home folder."""


class Files(msgspec.Struct, frozen=True, kw_only=True):
    """What a model reads and writes besides its weights, as absolute paths."""

    cache_folder: str
    adapters: Mapping[str, str] = {}
    projector: str | None = None


def decide_tuning(wanted: ModelTuning, machine: Machine, files: Files, share: int) -> Tuning:
    """Decide every number that the worker needs when `share` workers share the machine."""
    standard = Tuning()
    return Tuning(
        context_tokens=wanted.context_tokens or _CONTEXT_TOKENS,
        sequences=wanted.sequences or SEQUENCES,
        threads=wanted.threads or max(1, machine.cores // max(1, share)),
        batch_tokens=wanted.batch_tokens or standard.batch_tokens,
        gpu_layers=wanted.gpu_layers or 0,
        temperature=wanted.temperature,
        top_p=wanted.top_p,
        top_k=wanted.top_k,
        min_p=wanted.min_p,
        chat_template=wanted.chat_template,
        kv_type=wanted.kv_type or standard.kv_type,
        cache_ram_bytes=_first(
            wanted.cache_ram_bytes, _share_of(machine.memory_bytes, _CACHE_RAM_SHARE, _MOST_CACHE_RAM_BYTES)
        ),
        cache_disk_bytes=_first(
            wanted.cache_disk_bytes,
            _share_of(machine.disk_free_bytes, _CACHE_DISK_SHARE, _MOST_CACHE_DISK_BYTES),
        ),
        cache_folder=files.cache_folder,
        speculation=standard.speculation if wanted.speculation is None else wanted.speculation,
        adapters=dict(files.adapters),
        projector=files.projector,
    )


def folder_name(model: str) -> str:
    """Return a name for a folder that belongs to the model: ids of the user's own may hold anything."""
    name = quote(model, safe=" ")
    return f"%2E{name[1:]}" if name.startswith(".") else name


def _share_of(whole: int, share: float, most: int) -> int:
    return min(most, int(whole * share))


def _first(wanted: int | None, default: int) -> int:
    return default if wanted is None else wanted
