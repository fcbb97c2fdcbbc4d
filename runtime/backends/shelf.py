"""Which models this Lar knows and how each would be started: catalogue, `lar.toml`, what is installed."""

import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from runtime.backends.catalog.manifests import EngineManifest, ModelManifest, load_engines, load_models
from runtime.backends.connection import WorkerSpec
from runtime.backends.install import Installer, Weights
from runtime.backends.protocol import Tuning
from runtime.core.errors import Fault, ModelUnavailable
from runtime.core.ids import ModelId
from runtime.core.settings import ModelsSettings, ModelTuning, OwnModel

SCRIPTED = "scripted"
_OWN_CONTEXT_TOKENS = 8192
"""Context of a model of the user's own that states none: a conversation's worth, and modest in memory."""
_SEQUENCES = 8
"""Generations side by side where nothing else is said."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A known model with all that was decided about it."""

    id: ModelId
    engine: EngineManifest
    manifest: ModelManifest | None
    path: Path | None
    """Weights of the user's own; None: the manifest's, or none at all."""
    tuning: ModelTuning

    @property
    def sequences(self) -> int:
        """Generations side by side."""
        return self.tuning.sequences or _SEQUENCES


class Shelf:
    """The known models. Does not change while the server runs. Making one looks at the disk."""

    def __init__(
        self,
        *,
        installer: Installer,
        own: Mapping[str, OwnModel],
        settings: ModelsSettings,
        folder: Path,
        cores: int,
        is_scripted: bool,
    ) -> None:
        self._installer = installer
        self._settings = settings
        self._cores = cores
        self.entries = _collect(own, folder, is_scripted)
        self._own_weights = {
            each.id: _look_at(each.path) for each in self.entries.values() if each.path is not None
        }

    def find(self, model: ModelId) -> Entry:
        """Return a known model. Raises ModelUnavailable (model_not_found)."""
        entry = self.entries.get(model)
        if entry is None:
            known = ", ".join(self.entries)
            message = f"The model '{model}' does not exist. Known: {known}. Add your own in lar.toml."
            raise ModelUnavailable(Fault(code="model_not_found", message=message, param="model"))

        return entry

    def python(self, entry: Entry) -> str | None:
        """Return the interpreter that runs the entry's engine; None while it is not installed."""
        if not entry.engine.requirements:
            return sys.executable

        python = self._installer.engine_python(entry.engine.id)
        return None if python is None else str(python)

    def weights(self, entry: Entry) -> Weights | None:
        """Return the entry's weights; None where it has none, or they are not installed."""
        if entry.path is not None:
            return self._own_weights[entry.id]

        return self._installer.model_weights(entry.id)

    def is_installed(self, entry: Entry) -> bool:
        """Whether a worker could be started for the entry now."""
        needs_weights = (
            entry.path is None and entry.manifest is not None and entry.manifest.source is not None
        )
        return self.python(entry) is not None and not (needs_weights and self.weights(entry) is None)

    def spec(self, model: ModelId, share: int) -> WorkerSpec:
        """Return how to start the model's worker when `share` workers share the cores.

        Raises ModelUnavailable when it is unknown or not installed.
        """
        entry = self.find(model)
        python, weights = self.python(entry), self.weights(entry)
        if python is None or not self.is_installed(entry):
            message = f"'{model}' is not installed. 'lar models install {model}' installs it."
            raise ModelUnavailable(Fault(code="backend_missing", message=message, param="model"))

        return WorkerSpec(
            model=model,
            engine=entry.engine.id,
            python=python,
            path=None if weights is None else str(weights.path),
            tuning=self._tuning(entry, share),
            load_deadline_s=self._settings.load_deadline_s,
        )

    def _tuning(self, entry: Entry, share: int) -> Tuning:
        """Decide every number that the worker needs; what only the weights can tell stays None."""
        wanted = entry.tuning
        return Tuning(
            context_tokens=wanted.context_tokens or _OWN_CONTEXT_TOKENS,
            sequences=entry.sequences,
            threads=wanted.threads or max(1, self._cores // max(1, share)),
            batch_tokens=wanted.batch_tokens or Tuning().batch_tokens,
            gpu_layers=wanted.gpu_layers or 0,
            temperature=wanted.temperature,
            top_p=wanted.top_p,
            top_k=wanted.top_k,
            min_p=wanted.min_p,
            chat_template=wanted.chat_template,
        )


def _collect(own: Mapping[str, OwnModel], folder: Path, is_scripted: bool) -> dict[ModelId, Entry]:
    engines = load_engines()
    entries: dict[ModelId, Entry] = {}
    for manifest in load_models().values():
        if manifest.engine == SCRIPTED and not is_scripted:
            continue
        tuning = _over(own.get(manifest.id), manifest.tuning)
        path = _own_path(own.get(manifest.id), folder)
        model = ModelId(manifest.id)
        entries[model] = Entry(
            id=model, engine=engines[manifest.engine], manifest=manifest, path=path, tuning=tuning
        )
    for name, model_settings in own.items():
        model = ModelId(name)
        if model not in entries:
            entries[model] = Entry(
                id=model,
                engine=engines[model_settings.engine],
                manifest=None,
                path=_own_path(model_settings, folder),
                tuning=model_settings,
            )
    return entries


def _own_path(own: OwnModel | None, folder: Path) -> Path | None:
    return None if own is None or own.path is None else folder / Path(own.path).expanduser()


def _look_at(path: Path) -> Weights:
    """Return what is at the path; what is not there has no size, and the engine says so when it loads."""
    try:
        facts = path.stat()
    except OSError:
        return Weights(path, 0, 0)

    return Weights(path, facts.st_size, int(facts.st_mtime))


def _over(own: OwnModel | None, manifest: ModelTuning) -> ModelTuning:
    """Return the manifest's tuning with the user's values in place of those that the user set."""
    if own is None:
        return manifest

    names = [field.name for field in msgspec.structs.fields(ModelTuning)]
    return ModelTuning(
        **{
            name: getattr(manifest, name) if getattr(own, name) is None else getattr(own, name)
            for name in names
        }
    )
