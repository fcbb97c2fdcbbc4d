"""Where the commands about policies find them: a place that was named, or the folder of this home."""

from pathlib import Path

from runtime.cli.output import EXIT_USAGE, CommandFailed
from runtime.cli.place import find_place
from runtime.core.gate.policy_files import PolicyTexts, own_folder, read_own_file, read_texts
from runtime.core.gate.policy_set import PolicySet
from runtime.core.gate.policy_words import PoliciesRefused


def read_place(place: str | None) -> PolicyTexts:
    """Return the shipped policies with those of a place. Raises CommandFailed, PoliciesRefused, OSError."""
    if place is None:
        return read_texts(own_folder(find_place().home))

    path = Path(place).expanduser()
    if path.is_dir():
        return read_texts(path)
    if not path.is_file():
        raise CommandFailed(f"{path} does not exist.", EXIT_USAGE)

    shipped = read_texts(None)
    return PolicyTexts((*shipped.files, read_own_file(path)), shipped.schema)


def read_set(place: str | None) -> PolicySet:
    """Return the policies of a place, ready to decide. Raises CommandFailed with every fault."""
    try:
        return read_place(place).compiled()
    except PoliciesRefused as refused:
        raise CommandFailed(f"These policies are broken:\n{refused}") from refused
