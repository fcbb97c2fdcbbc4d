"""Which models this Lar knows and how each would be started: catalogue, `lar.toml`, what is installed."""

import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from runtime.backends.catalog.manifests import EngineManifest, ModelManifest, load_engines, load_models
from runtime.backends.connection import WorkerSpec
from runtime.backends.engines.llama.gguf import WeightsBroken, read_metadata
from runtime.backends.estimate import Estimate, estimate, estimate_from_size
from runtime.backends.install import Installer, Weights
from runtime.backends.protocol import Tuning
from runtime.backends.tuning import SEQUENCES, Files, Machine, decide_tuning, folder_name
from runtime.core.errors import Fault, ModelUnavailable
from runtime.core.ids import ModelId
from runtime.core.settings import ModelsSettings, ModelTuning, OwnModel

SCRIPTED = "scripted"
_GGUF = "llama"
"""The engine whose weights tell how much memory they will take."""
_PLACES_PER_SEQUENCE = 16
_MOST_PLACES = 256
"""Runs that an engine with a scheduler of its own is given at once: enough to choose from."""


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
        return self.tuning.sequences or SEQUENCES

    @property
    def places(self) -> int:
        """Runs that its worker takes at once; one that schedules by itself puts them in order."""
        if not self.engine.schedules:
            return self.sequences

        return max(self.sequences, min(_MOST_PLACES, _PLACES_PER_SEQUENCE * self.sequences))


class Shelf:
    """The known models. They do not change while the server runs. Making one looks at the disk."""

    def __init__(
        self,
        *,
        installer: Installer,
        own: Mapping[str, OwnModel],
        settings: ModelsSettings,
        folder: Path,
        machine: Machine,
        is_scripted: bool,
    ) -> None:
        self._installer = installer
        self._settings = settings
        self._folder = folder
        self._machine = machine
        self._estimates: dict[ModelId, Estimate | None] = {}
        self.entries = _collect(own, folder, is_scripted)
        self._own_weights = {
            each.id: _look_at(each.path) for each in self.entries.values() if each.path is not None
        }
        for each in self.entries.values():
            self.survey(each)

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

    def estimate(self, entry: Entry) -> Estimate | None:
        """Return how much memory the model takes; None until `survey` found it out, or where nobody can."""
        return self._estimates.get(entry.id)

    def survey(self, entry: Entry) -> None:
        """Find out how much memory the entry takes, if its weights are here. Blocking."""
        weights = self.weights(entry)
        if weights is not None:
            tuning = decide_tuning(entry.tuning, self._machine, self._files(entry), 1)
            self._estimates[entry.id] = _estimate(entry, weights, tuning)

    def spec(self, model: ModelId, share: int) -> WorkerSpec:
        """Return how to start the model's worker when `share` workers share the cores. Blocking.

        Raises ModelUnavailable when it is unknown or not installed, or files that it was given are not there.
        """
        entry = self.find(model)
        python, weights = self.python(entry), self.weights(entry)
        if python is None or not self.is_installed(entry):
            message = f"'{model}' is not installed. 'lar models install {model}' installs it."
            raise ModelUnavailable(Fault(code="backend_missing", message=message, param="model"))

        files = self._files(entry)
        _check_files(entry, files)
        tuning = decide_tuning(entry.tuning, self._machine, files, share)
        self._estimates[model] = None if weights is None else _estimate(entry, weights, tuning)
        return WorkerSpec(
            model=model,
            engine=entry.engine.id,
            python=python,
            path=None if weights is None else str(weights.path),
            tuning=tuning,
            load_deadline_s=self._settings.load_deadline_s,
            estimate=self._estimates[model],
        )

    def _files(self, entry: Entry) -> Files:
        """Return the files that the entry was given; they may be missing."""

        def resolve(path: str) -> str:
            return str(self._folder / Path(path).expanduser())

        wanted = entry.tuning
        return Files(
            cache_folder=str(self._folder / "cache" / "prefixes" / folder_name(entry.id)),
            adapters={name: resolve(path) for name, path in (wanted.adapters or {}).items()},
            projector=None if wanted.projector is None else resolve(wanted.projector),
        )


def _estimate(entry: Entry, weights: Weights, tuning: Tuning) -> Estimate | None:
    """Estimate what the model takes; None where its file cannot be read, which the engine explains."""
    paths = [*tuning.adapters.values(), *([tuning.projector] if tuning.projector else [])]
    files_bytes = sum(_look_at(Path(path)).size_bytes for path in paths)
    if entry.engine.id != _GGUF:
        return estimate_from_size(weights.size_bytes, files_bytes)

    try:
        return estimate(read_metadata(weights.path), tuning, files_bytes)
    except WeightsBroken:
        return None


def _check_files(entry: Entry, files: Files) -> None:
    """Raise ModelUnavailable where a file is missing, or is of no use to the entry's engine."""
    given = [(f"adapters.{name}", "adapters", path) for name, path in files.adapters.items()]
    if files.projector is not None:
        given.append(("projector", "images", files.projector))
    for key, feature, path in given:
        setting = f"lar.toml: model.{entry.id}.{key}"
        if feature not in entry.engine.features:
            message = f"{setting}: the engine '{entry.engine.id}' has no use for it. Remove it."
        elif not Path(path).is_file():
            message = f"{setting}: there is no file {path}. Mend the path, or remove the setting."
        else:
            continue
        raise ModelUnavailable(Fault(code="model_broken", message=message))


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
