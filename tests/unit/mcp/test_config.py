"""Definitions of servers as other hosts write them, and what is told of mistakes."""

import json
from pathlib import Path

import pytest

from runtime.config import parse_settings
from runtime.core.settings import McpServer, McpSettings
from runtime.mcp.config import ConfigInvalid, ServerEntry, parse_servers, read_entries
from runtime.mcp.config_file import add_server, remove_server
from runtime.mcp.transports import shown_target
from runtime.mcp.variables import VariableMissing, expand


def only(text: str) -> ServerEntry:
    (entry,) = parse_servers(text, "mcp.json")
    return entry


def fault(entry: object) -> str:
    return only(json.dumps({"mcpServers": {"mine": entry}})).fault


def test_a_file_of_claude_desktop_is_read_as_it_is() -> None:
    text = '{"mcpServers": {"fs": {"command": "npx", "args": ["-y", "x", "/d"], "env": {"A": "1"}}}, "t": 1}'
    entry = only(text)

    assert (entry.fault, entry.transport) == ("", "stdio")
    assert entry.config == McpServer(command="npx", args=("-y", "x", "/d"), env={"A": "1"})


def test_a_file_of_cursor_with_a_url_means_http() -> None:
    entry = only('{"mcpServers": {"far": {"url": "https://x.example/mcp", "headers": {"A": "${env:T}"}}}}')

    assert (entry.transport, entry.config.headers) == ("http", {"A": "${env:T}"})


def test_a_file_of_vs_code_is_read_with_comments_and_inputs() -> None:
    text = """{
      // what to ask for
      "inputs": [{"id": "token", "type": "promptString"},],
      "servers": {"gh": {"type": "http", "url": "https://x.example/mcp", /* theirs */ "dev": {},
        "headers": {"Authorization": "Bearer ${input:token}", "X": "a // b"},}}
    }"""
    entry = only(text)

    assert entry.fault == ""
    assert entry.config.headers["X"] == "a // b"
    assert expand(entry.config.headers["Authorization"], {"TOKEN": "s"}) == "Bearer s"


def test_old_and_new_names_of_transports_are_known() -> None:
    kinds = [
        only(json.dumps({"servers": {"a": {"type": kind, "url": "https://x.example"}}})).transport
        for kind in ("sse", "http", "streamable-http", "streamableHttp")
    ]

    assert kinds == ["sse", "http", "http", "http"]


def test_our_own_keys_are_read() -> None:
    entry = only(
        json.dumps(
            {
                "mcpServers": {
                    "a": {
                        "command": "x",
                        "era": "legacy",
                        "timeouts": {"connect": 5, "call": 60},
                        "allowedTools": ["one"],
                        "trust": True,
                        "sandbox": {"network": True, "write": ["/data"]},
                    }
                }
            }
        )
    )

    assert (entry.config.era, entry.config.connect_timeout_s, entry.config.call_timeout_s) == (
        "legacy",
        5,
        60,
    )
    assert (entry.config.allowed_tools, entry.config.trust) == (("one",), True)
    assert (entry.config.sandbox.network, entry.config.sandbox.write) == (True, ("/data",))


@pytest.mark.parametrize(
    ("given", "is_enough"),
    [
        (("clientSecret",), True),
        (("privateKeyFile",), True),
        (("clientSecret", "privateKeyFile"), False),
        ((), False),
    ],
)
def test_credentials_of_lars_own_are_a_secret_or_a_key(given: tuple[str, ...], is_enough: bool) -> None:
    oauth = {"grant": "client_credentials", "clientId": "robot", "issuer": "https://login.example"}
    told = fault({"url": "https://far.example/mcp", "oauth": oauth | dict.fromkeys(given, "x")})
    assert (told == "") == is_enough
    assert is_enough or "one of clientSecret and privateKeyFile" in told


def test_a_key_that_nothing_would_sign_with_is_told() -> None:
    told = fault({"url": "https://far.example/mcp", "oauth": {"privateKeyFile": "own.pem"}})
    assert "oauth.privateKeyFile goes with the grant client_credentials alone" in told


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({}, "mcp.json: mine: it needs 'command' for a local server, or 'url' for a remote one."),
        ({"command": "x", "url": "y"}, "mcp.json: mine: it has both 'command' and 'url'; leave one out."),
        ({"command": ["x"]}, "mcp.json: mine: command: expected `str | null`, got `array`."),
        ({"command": "x", "args": "y"}, "mcp.json: mine: args: expected `array`, got `str`."),
        ({"command": "x", "env": {"A": []}}, "mcp.json: mine: env.A: expected a text."),
        ({"type": "ftp", "url": "y"}, "mcp.json: mine: type: 'ftp' is unknown; it takes stdio, sse or http."),
        ({"type": "stdio", "url": "y"}, "mcp.json: mine: type: 'stdio' does not go with 'url'."),
        ("text", "mcp.json: mine: expected an object with 'command' or 'url'."),
    ],
)
def test_a_mistake_is_told_with_file_server_and_field(entry: object, said: str) -> None:
    assert fault(entry) == said


def test_one_mistake_leaves_the_other_servers_alone() -> None:
    entries = parse_servers('{"mcpServers": {"bad": {}, "good": {"command": "x"}}}', "mcp.json")

    assert [bool(each.fault) for each in entries] == [True, False]


def test_a_broken_file_is_an_entry_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "mcp.json").write_text('{"mcpServers": {')
    settings = McpSettings(servers={"own": McpServer(command="x")})

    own, broken = read_entries(tmp_path, settings)

    assert (own.name, own.origin, own.fault) == ("own", "lar.toml", "")
    assert (broken.name, "not valid JSON" in broken.fault) == ("mcp.json", True)


def test_lar_toml_goes_before_mcp_json(tmp_path: Path) -> None:
    (tmp_path / "mcp.json").write_text('{"mcpServers": {"own": {"command": "y"}}}')

    first, second = read_entries(tmp_path, McpSettings(servers={"own": McpServer(command="x")}))

    assert (first.config.command, first.fault) == ("x", "")
    assert "lar.toml defines it as well" in second.fault


def test_lar_toml_takes_servers_and_names_wrong_keys() -> None:
    text = '[mcp.servers.fs]\ncommand = "npx"\n[mcp.servers.fs.sandbox]\nnetwork = true\n'

    server = parse_settings(text, "lar.toml").mcp.servers["fs"]

    assert (server.command, server.sandbox.network) == ("npx", True)
    with pytest.raises(
        Exception, match=r"unknown key 'mcp\.servers\.fs\.comand'; did you mean 'mcp\.servers\.fs\.command'"
    ):
        parse_settings('[mcp.servers.fs]\ncomand = "npx"\n', "lar.toml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A}", "one"),
        ("${env:A}/x", "one/x"),
        ("${MISSING:-two}", "two"),
        ("${EMPTY:-two}", "two"),
        ("${MISSING:-}", ""),
        ("$A and {A}", "$A and {A}"),
        ("${B}", "${A}"),
    ],
)
def test_references_are_replaced_once(text: str, value: str) -> None:
    assert expand(text, {"A": "one", "B": "${A}", "EMPTY": ""}) == value


@pytest.mark.parametrize("text", ["${MISSING}", "${input:the-key}", "${workspaceFolder}", "${}", "${a b}"])
def test_a_reference_to_nothing_is_refused(text: str) -> None:
    with pytest.raises(VariableMissing):
        expand(text, {})


def test_adding_and_removing_keeps_what_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text('{"inputs": [1], "servers": {"a": {"command": "x", "gallery": true}}}')

    add_server(path, "b", {"command": "y", "theirs": {"k": 1}})
    with pytest.raises(ConfigInvalid, match="there is a server of that name"):
        add_server(path, "a", {"command": "z"})
    assert remove_server(path, "a")
    assert not remove_server(path, "a")

    assert json.loads(path.read_text()) == {
        "inputs": [1],
        "servers": {"b": {"command": "y", "theirs": {"k": 1}}},
    }
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_with_comments_is_not_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text("{ // mine\n}")

    with pytest.raises(ConfigInvalid, match="has comments, which would be lost"):
        add_server(path, "b", {"command": "y"})
    assert path.read_text() == "{ // mine\n}"


def test_an_address_is_shown_without_secrets() -> None:
    config = McpServer(url="https://me:secret@x.example/mcp?key=secret")

    assert shown_target(ServerEntry(name="a", origin="o", config=config)) == "https://x.example/mcp"
