"""Tools that only runs have: what they read, what they refuse, and that notes of a team are shared."""

from pathlib import Path
from typing import Any

import anyio.to_thread
import msgspec
import pytest

from runtime.core.agents.hosted.board import Board
from runtime.core.agents.items import Answered, Called
from runtime.core.agents.plans import PlannedTool
from runtime.core.agents.skills import SkillTool, find_skills
from runtime.core.errors import RequestInvalid
from runtime.core.gate.principals import OWNER
from runtime.core.tools import Caller
from tests.kit.clock import FakeClock
from tests.kit.fake_agent_store import FakeRecords

SKILL = "---\nname: letters\ndescription: Writes\n  letters.\n---\nBe brief.\n"


def called(name: str, **arguments: Any) -> Called:
    told = msgspec.json.encode(arguments).decode()
    return Called(id="fc_1", call_id="call_1", name=name, arguments=told, by_client=False)


def caller(agent: str = "clerk") -> Caller:
    return Caller(principal=OWNER, door="agent", agent=agent)


def nothing(message: str, done: float, total: float | None) -> None:
    """Take no notice of progress."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "skills" / "letters"
    (folder / "forms").mkdir(parents=True)
    (folder / "SKILL.md").write_text(SKILL)
    (folder / "forms" / "thanks.txt").write_text("Thank you for …")
    (folder / "stamp.png").write_bytes(b"\x89PNG\xff")
    (tmp_path / "secret.txt").write_text("nobody's business")
    (folder / "way-out").symlink_to(tmp_path / "secret.txt")
    return tmp_path


async def read(home: Path, **arguments: Any) -> Answered:
    (skill,) = await anyio.to_thread.run_sync(find_skills, home, ["letters"])
    folders = {skill.name: skill.folder}
    tool = PlannedTool(name="read_skill", executor="hosted", settings={"folders": folders})
    return await SkillTool().call(caller(), called("read_skill", **arguments), tool, nothing)


def test_a_skill_is_known_by_what_stands_on_its_head(home: Path) -> None:
    (skill,) = find_skills(home, ["letters"])

    assert (skill.name, skill.description) == ("letters", "Writes letters.")


@pytest.mark.parametrize("text", ["no head", "---\nname: x\n---\n", "---\n: [\n---\n"])
def test_a_skill_that_cannot_be_read_is_named_with_its_place(home: Path, text: str) -> None:
    (home / "skills" / "letters" / "SKILL.md").write_text(text)

    with pytest.raises(RequestInvalid, match=r"SKILL\.md") as caught:
        find_skills(home, ["letters"])
    assert caught.value.fault.param == "skills[0]"
    with pytest.raises(RequestInvalid, match="'gone' cannot be read"):
        find_skills(home, ["gone"])


async def test_its_instructions_come_with_the_names_of_its_files(home: Path) -> None:
    told = await read(home, skill="letters")

    assert told.text.startswith("Be brief.")
    assert "forms/thanks.txt" in told.text
    assert (await read(home, skill="letters", file="forms/thanks.txt")).text == "Thank you for …"


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("../../secret.txt", "denied"),
        ("way-out", "denied"),
        ("gone.txt", "invalid_arguments"),
        ("stamp.png", "invalid_arguments"),
    ],
)
async def test_no_other_file_is_read(home: Path, file: str, code: str) -> None:
    told = await read(home, skill="letters", file=file)

    assert (told.is_error, told.code) == (True, code)
    assert "business" not in told.text


async def test_an_unknown_skill_is_told_with_those_there_are(home: Path) -> None:
    told = await read(home, skill="poems")

    assert told.is_error
    assert "letters" in told.text


async def test_a_team_shares_its_notes_and_no_others() -> None:
    board = Board(FakeRecords(), FakeClock())
    write = PlannedTool(name="write_board", tool="write_board", settings={"board": "house"})
    look = PlannedTool(name="read_board", tool="read_board", settings={"board": "house"})
    elsewhere = PlannedTool(name="read_board", tool="read_board", settings={"board": "house-2"})

    for number in range(150):
        await board.call(
            caller(f"agent{number % 2}"), called("write_board", note=f"note {number}"), write, nothing
        )
    told = await board.call(caller(), called("read_board"), look, nothing)

    lines = told.text.splitlines()
    assert lines[0] == "- agent0: note 50"
    assert lines[-1] == "- agent1: note 149"
    assert "no notes" in (await board.call(caller(), called("read_board"), elsewhere, nothing)).text
    assert (await board.call(caller(), called("write_board", note=" "), write, nothing)).is_error
