"""Skills: folders with a SKILL.md; name and description are told, the rest is read when it is wanted.

The format is that of Agent Skills: YAML between two lines of `---`, with `name` and `description`, then text.
A skill lies in `$LAR_HOME/skills/<name>`, or anywhere an agent's file names by an absolute path.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio.to_thread
import yaml

from runtime.core.agents.items import Answered, Called, Text
from runtime.core.agents.planning import Skill
from runtime.core.agents.plans import PlannedTool
from runtime.core.agents.ports import MoveOn
from runtime.core.agents.results import arguments_of, failed, text_result
from runtime.core.errors import Fault, RequestInvalid
from runtime.core.tools import Caller

FOLDER = "skills"
_MAIN = "SKILL.md"
_LARGEST_BYTES = 256 * 1024
"""Of a file that is read as a whole into a prompt."""
_MOST_FILES = 200


def find_skills(home: Path, names: Sequence[str]) -> list[Skill]:
    """Return the skills that an agent names. Blocks. Raises RequestInvalid where one cannot be read."""
    return [_skill_of(_folder_of(home, name), place) for place, name in enumerate(names)]


def _folder_of(home: Path, name: str) -> Path:
    given = Path(name).expanduser()
    return given if given.is_absolute() else home / FOLDER / given


def _skill_of(folder: Path, place: int) -> Skill:
    field = f"skills[{place}]"
    path = folder / _MAIN
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as problem:
        raise _invalid(f"The skill '{folder.name}' cannot be read: {path} ({problem}).", field) from problem

    try:
        told = _front_matter(text)
    except yaml.YAMLError as problem:
        raise _invalid(f"{path}: what stands between the '---' lines is not YAML.", field) from problem

    name, description = told.get("name"), told.get("description")
    if not isinstance(name, str) or not isinstance(description, str) or not name or not description:
        raise _invalid(f"{path} must begin with '---', 'name: …', 'description: …', '---'.", field)
    return Skill(name=name[:64], description=" ".join(description.split())[:1024], folder=str(folder))


def _front_matter(text: str) -> dict[str, Any]:
    if not text.startswith("---"):
        return {}
    head, found, _ = text[3:].partition("\n---")
    told = yaml.safe_load(head) if found else None
    return told if isinstance(told, dict) else {}


class SkillTool:
    """The tool `read_skill`, as a `HostedTool`: files of the skill's own folder, and none beside it."""

    async def call(self, caller: Caller, call: Called, tool: PlannedTool, move: MoveOn) -> Answered:  # noqa: ARG002 - the port's
        """Read a file of a skill. Whatever goes wrong is a result."""
        told = arguments_of(call)
        folders: dict[str, str] = tool.settings.get("folders", {})
        folder = folders.get(str(told.get("skill", "")))
        if folder is None:
            return failed(
                call, f"There is no such skill. There are: {', '.join(folders)}.", "invalid_arguments"
            )

        wanted = str(told.get("file") or _MAIN)
        return await anyio.to_thread.run_sync(_read, call, Path(folder), wanted)


def _read(call: Called, folder: Path, wanted: str) -> Answered:
    root = folder.resolve()
    path = (root / wanted).resolve()
    if not path.is_relative_to(root):
        return failed(call, "The file is not one of this skill's.", "denied")

    try:
        if path.stat().st_size > _LARGEST_BYTES:
            return failed(call, f"'{wanted}' has more than {_LARGEST_BYTES // 1024} KiB.", "too_large")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError):
        return failed(call, f"'{wanted}' is no text file of this skill. {_listed(root)}", "invalid_arguments")

    if wanted != _MAIN:
        return text_result(call, text)
    _, _, body = text.removeprefix("---").partition("\n---")
    parts = (Text(text=(body or text).strip()), Text(text=_listed(root)))
    return Answered(id=text_result(call, "").id, call_id=call.call_id, parts=parts, form=call.form)


def _listed(root: Path) -> str:
    files = sorted(
        str(each.relative_to(root))
        for each in root.rglob("*")
        if each.is_file() and each.name != _MAIN and not any(part.startswith(".") for part in each.parts)
    )
    if not files:
        return "It has no other files."
    more = f" and {len(files) - _MOST_FILES} more" if len(files) > _MOST_FILES else ""
    return f"Its other files: {', '.join(files[:_MOST_FILES])}{more}."


def _invalid(message: str, param: str) -> RequestInvalid:
    return RequestInvalid(Fault(code="invalid_request", message=message, param=param))
