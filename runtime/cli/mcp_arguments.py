"""What can be typed after `lar mcp`."""

import argparse
from typing import Any

from runtime.cli.arguments import add_command, with_json


def add_mcp_commands(commands: Any) -> None:
    """Declare `lar mcp`."""
    text = "use MCP servers, and offer what Lar can to other programs that speak MCP"
    mcp = add_command(commands, "mcp", "mcp", "serve", text, "lar mcp serve")
    actions = mcp.add_subparsers(title="actions", metavar="ACTION", required=True)
    text = "serve MCP over stdin and stdout, for Claude Desktop and others"
    add_command(actions, "serve", "mcp", "serve", text, '{"command": "lar", "args": ["mcp", "serve"]}')
    _add_server_actions(actions)


def _add_server_actions(actions: Any) -> None:
    """Declare the commands over servers."""
    listing = add_command(
        actions, "list", "mcp_servers", "list_servers", "list the servers, with what waits for approval"
    )
    with_json(listing)

    add = add_command(
        actions,
        "add",
        "mcp_servers",
        "add_server",
        "take a server up: lar mcp add NAME URL, or NAME -- COMMAND …",
        "lar mcp add files --write ~/notes -- npx -y @modelcontextprotocol/server-filesystem ~/notes",
    )
    _add_definition(add)
    add.add_argument("name", help="what the server is called from now on")
    add.add_argument(
        "target",
        nargs=argparse.REMAINDER,
        metavar="URL | -- COMMAND …",
        help="where a remote server answers, or the command line of a local one",
    )

    imports = add_command(
        actions, "import", "mcp_servers", "import_servers", "take servers over from other programs"
    )
    imports.add_argument("names", nargs="*", help="which; without a name all are shown and none is taken")
    imports.add_argument("--all", action="store_true", help="take all of them")
    imports.add_argument("--file", help="read this file instead of looking for those of other programs")
    with_json(imports)

    test = add_command(
        actions, "test", "mcp_servers", "test_server", "connect a server and tell what came of it"
    )
    test.add_argument("name", help="the server, as 'lar mcp list' shows it")
    with_json(test)

    login = add_command(
        actions, "login", "mcp_servers", "log_in", "log in at a remote server that asks for it (OAuth)"
    )
    login.add_argument("name", help="the server, as 'lar mcp list' shows it")

    remove = add_command(
        actions, "remove", "mcp_servers", "remove_server", "forget a server and what was approved of it"
    )
    remove.add_argument("name", help="the server, as 'lar mcp list' shows it")

    approve = add_command(
        actions,
        "approve",
        "mcp_servers",
        "approve_tools",
        "look at new or changed tools and let them be used",
    )
    approve.add_argument("name", help="the server, as 'lar mcp list' shows it")
    approve.add_argument("tools", nargs="*", help="only these, by the names that the server gives them")
    approve.add_argument("--yes", action="store_true", help="approve what raises no suspicion without asking")


def read_definition(chosen: argparse.Namespace) -> list[str]:
    """Take the options that stand after the name into `chosen`; return the address, or the command."""
    told: list[str] = chosen.target
    if "--" in told:
        place = told.index("--")
        told, command = told[:place], told[place + 1 :]
    elif told and not told[0].startswith(("-", "http://", "https://")):
        told, command = [], told  # a command without the dashes before it
    else:
        command = []
    parser = argparse.ArgumentParser(prog="lar mcp add NAME", add_help=False)
    _add_definition(parser)
    parser.add_argument("url", nargs="?")
    after = parser.parse_args(told)
    for name, value in vars(after).items():
        if name != "url":
            before = getattr(chosen, name)
            setattr(chosen, name, before + value if isinstance(before, list) else value or before)
    return command or ([after.url] if after.url else [])


def _add_definition(add: argparse.ArgumentParser) -> None:
    add.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE", help="a variable; VALUE may be ${VAR}"
    )
    add.add_argument(
        "--header", action="append", default=[], metavar="NAME=VALUE", help="for a remote server"
    )
    add.add_argument("--cwd", help="the folder that it runs in")
    add.add_argument("--sse", action="store_true", help="the remote server speaks the older transport")
    add.add_argument("--network", action="store_true", help="let a local server reach the network")
    add.add_argument("--read", action="append", default=[], metavar="PATH", help="let it read this")
    add.add_argument("--write", action="append", default=[], metavar="PATH", help="let it change this")
    add.add_argument("--no-sandbox", action="store_true", help="run it with all that you may do")
    add.add_argument(
        "--trust", action="store_true", help="approve its tools unseen, and believe what it says"
    )
