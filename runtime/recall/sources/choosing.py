"""Which files of a folder or a repository are taken: by their paths alone, nothing is opened.

Hidden and vendored parts are left out unless a pattern to include names them. Without patterns to include,
every file is taken that Recall can read by its name.
"""

from collections.abc import Collection
from pathlib import PurePosixPath

from runtime.recall.parse.kinds import SUFFIXES
from runtime.recall.sources.origin import Look
from runtime.recall.sources.web import Globs

_MADE = frozenset({"__pycache__", "bower_components", "node_modules", "site-packages", "venv"})
VENDORED = frozenset({"third_party", "vendor"})
"""In a repository these hold other people's work; in a person's folder they are words like others."""
_NAMES = frozenset(
    {"authors", "changelog", "changes", "contributing", "copying", "dockerfile", "install", "license"}
    | {"makefile", "news", "notice", "readme", "todo"}
)
"""Of files that are texts although their names have no suffix."""
_MADE_FILES = frozenset({"package-lock.json", "pnpm-lock.yaml", "composer.lock"})
_MADE_ENDS = (".min.js", ".min.css")
_NOT_TEXT = frozenset({"audio", "image"})


class Choice:
    """What a look wants of a tree of files."""

    def __init__(self, asked: Look, skipped: Collection[str] = (), *, is_text_only: bool = False) -> None:
        self._globs = Globs(asked.include, asked.exclude)
        self._has_include = bool(asked.include)
        self._named = {part for pattern in asked.include for part in pattern.split("/")}
        self._skipped = _MADE | frozenset(skipped)
        self._is_text_only = is_text_only

    def enters(self, name: str) -> bool:
        """Tell whether a folder of this name is looked into."""
        return name in self._named or not (name.startswith(".") or name in self._skipped)

    def takes(self, key: str) -> bool:
        """Tell whether a file is wanted; its path is relative, with `/` between its parts."""
        path = PurePosixPath(key)
        if path.name.startswith(".") and path.name not in self._named:
            return False
        if not self._globs.takes_path(key):
            return False
        return self._has_include or self._is_readable(path)

    def _is_readable(self, path: PurePosixPath) -> bool:
        name = path.name.lower()
        if name in _MADE_FILES or name.endswith(_MADE_ENDS):
            return False
        kind = SUFFIXES.get(path.suffix.lower())
        if kind is None:
            return not path.suffix and name in _NAMES
        return not (self._is_text_only and kind in _NOT_TEXT)
