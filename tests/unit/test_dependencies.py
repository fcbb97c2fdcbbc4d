"""Nothing is installed that nobody uses."""

import ast
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]


def names_in(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports, by statement or by a name that it hands to an importer."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import():
                yield from (each.name.partition(".")[0] for each in node.names)
            case ast.ImportFrom(module=str(module)):
                yield module.partition(".")[0]
            case ast.Constant(value=str(value)) if value.isidentifier():
                yield value


def test_every_dependency_is_imported_by_somebody() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {re.split(r"[<>=]", each)[0] for each in project["dependencies"]}
    owners = packages_distributions()

    files = [path for folder in ("runtime", "tui") for path in (ROOT / folder).rglob("*.py")]
    imported = {name for path in files for name in names_in(path)}
    used = {owner.lower().replace("_", "-") for name in imported for owner in owners.get(name, [])}

    assert wanted - used == set()
