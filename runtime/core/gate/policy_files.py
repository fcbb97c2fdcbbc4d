"""Where policies lie, and how they are read: those that come with Lar, and the owner's own."""

from pathlib import Path
from typing import NamedTuple

from runtime.core.gate.policy_set import PolicySet, digest_of
from runtime.core.gate.policy_words import Layer, PoliciesRefused, PolicyFault, PolicyFile
from runtime.core.writing import write_private

OWN_FOLDER = "policies"
"""Below the home folder."""
APPROVED_FILE = "approved.cedar"
"""What answers "for ever" have written, in the folder of own policies."""
SCHEMA_FILE = "lar.cedarschema"
_LARGEST_BYTES = 1024 * 1024
_HEAD = "// Written by answers 'for ever' to questions of the gate. Take a policy out to be asked again.\n"


class PolicyTexts(NamedTuple):
    """All files as they were read at one time."""

    files: tuple[PolicyFile, ...]
    schema: PolicyFile

    @property
    def digest(self) -> str:
        """What tells them from others."""
        return digest_of([*self.files, self.schema])

    def compiled(self) -> PolicySet:
        """Read them as policies. Raises PoliciesRefused."""
        return PolicySet(self.files, self.schema)


def shipped_folder() -> Path:
    """Return where the policies lie that come with Lar: in the package, or beside it in a checkout."""
    package = Path(__file__).parents[2]
    inside = package / "policies"
    return inside if inside.is_dir() else package.parent / "policies"


def own_folder(home: Path) -> Path:
    """Return where a home's own policies lie."""
    return home / OWN_FOLDER


def read_texts(own: Path | None, shipped: Path | None = None) -> PolicyTexts:
    """Read the shipped files and those of a folder, if it is there. Raises PoliciesRefused, OSError."""
    given = shipped or shipped_folder()
    files = _read_folder(given, "shipped")
    if own is not None:
        files += _read_folder(own, "own")
    return PolicyTexts(tuple(files), _read_file(given / SCHEMA_FILE, "shipped"))


def read_own_file(path: Path) -> PolicyFile:
    """Read one file as own policies. Raises PoliciesRefused, OSError."""
    return _read_file(path, "own")


def add_policy(own: Path, policy: str, name: str) -> None:
    """Append a policy to the file of answers, whole or not at all; one whose id is there already is kept.

    Raises PoliciesRefused where the files would not be a good set with it, OSError.
    """
    path = own / APPROVED_FILE
    before = _read_file(path, "own").text if path.exists() else _HEAD
    if f'@id("{name}")' in before:
        return

    after = PolicyFile(str(path), "own", f"{before.rstrip()}\n\n{policy}")
    texts = read_texts(own)
    others = tuple(each for each in texts.files if each.name != after.name)
    PolicyTexts((*others, after), texts.schema).compiled()
    write_private(path, after.text)


def _read_folder(folder: Path, layer: Layer) -> list[PolicyFile]:
    if not folder.is_dir():
        return []
    return [_read_file(path, layer) for path in sorted(folder.glob("*.cedar")) if path.is_file()]


def _read_file(path: Path, layer: Layer) -> PolicyFile:
    raw = path.read_bytes()
    if len(raw) > _LARGEST_BYTES:
        message = f"it is larger than {_LARGEST_BYTES} bytes"
        raise PoliciesRefused([PolicyFault(file=str(path), line=0, message=message)])
    try:
        return PolicyFile(str(path), layer, raw.decode())
    except UnicodeDecodeError as problem:
        line = raw.count(b"\n", 0, problem.start) + 1
        fault = PolicyFault(file=str(path), line=line, message="it is not UTF-8 from here on")
        raise PoliciesRefused([fault]) from problem
