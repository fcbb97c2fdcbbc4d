"""What can be typed after `lar mcp`, beside `serve`."""

import argparse
from typing import Any


def add_server_actions(actions: Any) -> None:
    """Declare the commands over servers."""
    listing = _action(actions, "list", "list_servers", "list the servers, with what waits for approval")
    _with_json(listing)

    add = _action(
        actions, "add", "add_server", "take a server up: lar mcp add NAME URL, or NAME -- COMMAND …"
    )
    _add_definition(add)
    add.add_argument("name", help="what the server is called from now on")
    add.add_argument("target", nargs=argparse.REMAINDER, metavar="URL | -- COMMAND …")

    imports = _action(actions, "import", "import_servers", "take servers over from other programs")
    imports.add_argument("names", nargs="*", help="which; without a name all are shown and none is taken")
    imports.add_argument("--all", action="store_true", help="take all of them")
    imports.add_argument("--file", help="read this file instead of looking for those of other programs")
    _with_json(imports)

    test = _action(actions, "test", "test_server", "connect a server and tell what came of it")
    test.add_argument("name")
    _with_json(test)

    login = _action(actions, "login", "log_in", "log in at a remote server that asks for it (OAuth)")
    login.add_argument("name")

    remove = _action(actions, "remove", "remove_server", "forget a server and what was approved of it")
    remove.add_argument("name")

    approve = _action(
        actions, "approve", "approve_tools", "look at new or changed tools and let them be used"
    )
    approve.add_argument("name", help="the server")
    approve.add_argument("tools", nargs="*", help="only these")
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


def _action(actions: Any, name: str, function: str, text: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text)
    command.set_defaults(module="mcp_servers", function=function)
    return command


def _with_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON for programs")
