"""What the relay of `lar mcp serve` knows of messages: eras, headers, streams cut at any byte."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.api.remote.mcp_frames import Events, Incoming, cancelled_by, error, headers_of, refusal

META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}


def message(method: str, **params: object) -> Incoming:
    return Incoming(method=method, id=1, params=dict(params))


def test_the_era_is_what_the_message_says() -> None:
    assert message("tools/list", _meta=META).version == "2026-07-28"
    assert message("tools/list").version is None
    assert message("initialize", _meta=META).version is None
    assert Incoming(method="ping").version is None


@pytest.mark.parametrize(
    ("method", "params", "name"),
    [
        ("tools/call", {"name": "time_now"}, "time_now"),
        ("prompts/get", {"name": "a b"}, "a b"),
        ("resources/read", {"uri": "recall://memory/ä"}, "=?base64?cmVjYWxsOi8vbWVtb3J5L8Ok?="),
        ("tools/call", {"name": " padded"}, "=?base64?IHBhZGRlZA==?="),
        ("tools/list", {}, None),
    ],
)
def test_stateless_requests_travel_under_what_they_are(
    method: str, params: dict[str, str], name: str | None
) -> None:
    headers = headers_of(message(method, **params, _meta=META))
    assert (headers["MCP-Protocol-Version"], headers["Mcp-Method"]) == ("2026-07-28", method)
    assert headers.get("Mcp-Name") == name


def test_a_notification_of_cancelling_names_its_request() -> None:
    assert cancelled_by(Incoming(method="notifications/cancelled", params={"requestId": 7})) == 7
    assert cancelled_by(Incoming(method="notifications/cancelled", params={"requestId": None})) is None
    assert cancelled_by(Incoming(method="tools/call", params={"requestId": 7})) is None


def test_a_failure_is_an_answer_to_its_request() -> None:
    told = msgspec.json.decode(error("a", -32000, "gone"))
    assert told == {"jsonrpc": "2.0", "id": "a", "error": {"code": -32000, "message": "gone"}}


@given(
    st.lists(st.text("aä☃ :{}", min_size=1, max_size=9), max_size=4),
    st.sampled_from(["\n", "\r\n"]),
    st.integers(min_value=1, max_value=7),
)
def test_events_come_out_whole_wherever_the_stream_is_cut(texts: list[str], end: str, size: int) -> None:
    stream = f": ping{end}{end}" + "".join(f"event: message{end}data: {each}{end}{end}" for each in texts)
    content = stream.encode()
    events = Events()
    found = [each for at in range(0, len(content), size) for each in events.feed(content[at : at + size])]
    assert found == [each.encode() for each in texts]


def test_a_refusal_is_told_by_its_message_and_a_wrong_key_with_the_way_out() -> None:
    told = refusal(401, b'{"error": {"message": "Incorrect API key."}}')
    assert told.startswith(
        "Lar's server refused: Incorrect API key. (HTTP 401) Set LAR_API_KEY to a key that"
    )
    assert refusal(502, b"<html>") == "Lar's server refused: <html> (HTTP 502)"
