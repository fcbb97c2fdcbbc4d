"""What tools are called for models: `mcp__server__tool`, in the characters and the length that models take.

server   no double underscore, so that the name can be taken apart again; unique among the servers
tool     a name once given stays; where two would be alike, the later one ends in a part of a hash
"""

import hashlib
import re

MOST_CHARACTERS = 128
_PREFIX = "mcp__"
_MOST_OF_SERVER = 40
_HASH_CHARACTERS = 6
_OTHER = re.compile(r"[^A-Za-z0-9_-]")


def plain(name: str) -> str:
    """Return the name in the characters that models take."""
    return _OTHER.sub("_", name)


def server_slug(name: str, taken: set[str]) -> str:
    """Return what a server is called within tools' names."""
    slug = re.sub(r"_{2,}", "_", plain(name)).strip("_")[:_MOST_OF_SERVER] or "server"
    return _told_apart(slug, name, _MOST_OF_SERVER) if slug in taken else slug


def file_stem(name: str) -> str:
    """Return a name for a server's files: always the same, and no other server's."""
    slug = re.sub(r"_{2,}", "_", plain(name))[:_MOST_OF_SERVER]
    return slug if slug == name else _told_apart(slug, name, _MOST_OF_SERVER)


def slug_of(full_name: str) -> str:
    """Return the server's part of a tool's full name; empty where it is none."""
    if not full_name.startswith(_PREFIX):
        return ""
    return full_name.removeprefix(_PREFIX).partition("__")[0]


class ToolNames:
    """The full names of one server's tools."""

    def __init__(self, slug: str) -> None:
        self._slug = slug
        self._given: dict[str, str] = {}
        self._taken: set[str] = set()

    def name(self, tool: str) -> str:
        """Return the tool's full name; the same one each time."""
        given = self._given.get(tool)
        if given is None:
            start = f"{_PREFIX}{self._slug}__"
            given = start + plain(tool)
            if given in self._taken or len(given) > MOST_CHARACTERS:
                given = start + _told_apart(plain(tool), tool, MOST_CHARACTERS - len(start))
            self._given[tool] = given
            self._taken.add(given)
        return given


def _told_apart(name: str, source: str, most: int) -> str:
    mark = hashlib.sha256(source.encode()).hexdigest()[:_HASH_CHARACTERS]
    return f"{name[: most - _HASH_CHARACTERS - 1]}_{mark}"
