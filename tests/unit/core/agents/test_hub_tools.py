"""The hub as a source of tools: results become items, whatever they are."""

import msgspec

from runtime.core.agents.hub_tools import HubTools, answered
from runtime.core.agents.items import Called, Document, Picture, Text
from runtime.core.agents.ports import MoveOn
from runtime.core.errors import Fault, StoreDamaged
from runtime.core.gate.principals import OWNER
from runtime.core.toolbox import Toolbox
from runtime.core.tools import BlobContent, Caller, LinkContent, TextContent, ToolResult
from tests.kit.agents_live import hub_tool
from tests.kit.fake_hub import FakeHub

CALL = Called(id="mcp_1", call_id="call_1", name="say", arguments='{"text": "yes"}', form="mcp")
CALLER = Caller(principal=OWNER, door="agent")


def tools_of(hub: FakeHub) -> HubTools:
    async def toolbox() -> Toolbox:
        return Toolbox(hub, None, None, None)  # type: ignore[arg-type]  # nobody uses the others

    return HubTools(toolbox)


def nothing(message: str, done: float, total: float | None) -> None:
    """Take progress and do nothing with it."""


async def test_a_call_reaches_its_tool_with_id_arguments_and_progress() -> None:
    hub = FakeHub()
    moved: list[tuple[str, float, float | None]] = []
    move: MoveOn = lambda message, done, total: moved.append((message, done, total))  # noqa: E731 - a recorder
    result = await tools_of(hub).call(CALLER, CALL, hub_tool("count"), 3.0, move)
    assert result.text == "owner says yes"
    assert result.structured == {"said": "owner says yes"}
    assert (hub.asked[0].id, hub.asked[0].approval_wait_s) == ("call_1", 3.0)
    assert [each[1] for each in moved] == [1, 2, 3]


async def test_a_call_that_must_be_approved_names_its_approval() -> None:
    result = await tools_of(FakeHub()).call(CALLER, CALL, hub_tool("refused"), 0.0, nothing)
    assert (result.code, result.extra) == ("asked", {"approval": "apr_1"})


async def test_arguments_that_are_no_object_do_not_reach_the_hub() -> None:
    hub = FakeHub()
    for arguments in ("[1]", "no json", '"text"'):
        call = msgspec.structs.replace(CALL, arguments=arguments)
        result = await tools_of(hub).call(CALLER, call, hub_tool(), 0.0, nothing)
        assert (result.is_error, result.code) == (True, "invalid_arguments")
    assert hub.asked == []


async def test_tools_that_cannot_be_opened_are_a_result() -> None:
    async def toolbox() -> Toolbox:
        raise StoreDamaged(Fault(code="store_damaged", message="The pins cannot be read."))

    result = await HubTools(toolbox).call(CALLER, CALL, hub_tool(), 0.0, nothing)
    assert (result.code, result.text) == ("unreachable", "The pins cannot be read.")


def test_every_kind_of_content_becomes_a_part() -> None:
    result = ToolResult(
        content=(
            TextContent(text="a"),
            BlobContent(data=b"\x89PNG", media_type="image/png"),
            BlobContent(data=b"b,c", media_type="text/csv", uri="file:x.csv"),
            BlobContent(data=b"zip", media_type="application/zip"),
            LinkContent(uri="a:b", name="b"),
        )
    )
    parts = answered(CALL, result).parts
    assert parts[0] == Text(text="a")
    assert parts[1] == Picture(data=b"\x89PNG")
    assert parts[2] == Document(filename="file:x.csv", text="b,c")
    assert parts[3] == Text(text="[application/zip, 3 bytes]")
    assert parts[4] == Text(text="[b: a:b]")


def test_a_result_that_is_too_long_is_cut_and_says_so() -> None:
    content = (TextContent(text="x" * 60), TextContent(text="y" * 60), TextContent(text="z"))
    result = answered(CALL, ToolResult(content=content, structured={"all": "x" * 200}), 100)
    assert result.text.startswith("x" * 60 + "\n" + "y" * 40)
    assert "20 more characters are left out" in result.text
    assert "z" not in result.text
    assert result.structured is None
