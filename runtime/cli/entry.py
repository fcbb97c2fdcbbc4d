"""The `lar` command line: what can be typed, and the border at which every failure becomes a sentence."""

import argparse
import errno
import importlib
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runtime.cli.agents_arguments import add_agent_commands
from runtime.cli.arguments import add_command, with_json
from runtime.cli.doctor_arguments import add_doctor_command
from runtime.cli.mcp_arguments import add_mcp_commands
from runtime.cli.output import (
    EXIT_CODES,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_NO_SERVER,
    EXIT_USAGE,
    CommandFailed,
    fail,
)
from runtime.cli.policy_arguments import add_policy_commands
from runtime.cli.recall_arguments import add_recall_commands
from runtime.config import find_home
from runtime.core.errors import SettingsInvalid, StoreUnavailable, sole_cause
from runtime.core.version import __version__

_EPILOG = f"""Without a command, lar starts its server if none runs, and opens the console.
Settings: lar.toml in $LAR_HOME. Docs: README.md, docs/.

{EXIT_CODES}"""


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code. No traceback reaches the person."""
    try:
        chosen = _read(arguments)
        module = importlib.import_module(f"runtime.cli.{chosen.module}")
        code: int = getattr(module, chosen.function)(chosen)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Exception as problem:  # noqa: BLE001 - the border of the command: whatever it is becomes a sentence
        return _explain(sole_cause(problem))
    return code


def _read(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what was typed. Words of a task may also stand behind options, which argparse does not see."""
    parser = command_parser()
    chosen, rest = parser.parse_known_args(arguments)
    if rest:
        if not isinstance(getattr(chosen, "task", None), list) or any(each.startswith("-") for each in rest):
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        chosen.task += rest
    return chosen


def _explain(problem: Exception) -> int:
    match problem:
        case CommandFailed():
            return fail(str(problem), problem.code)
        case SettingsInvalid():
            return fail(str(problem), EXIT_USAGE)
        case StoreUnavailable():
            return fail(str(problem), EXIT_NO_SERVER)
        case OSError(errno=errno.ENOSPC):
            return fail(
                f"The disk is full ({problem.filename or find_home()}). Free some space.", EXIT_FAILED
            )
        case OSError(filename=str() as path):
            is_own = Path(path).absolute().is_relative_to(find_home())
            hint = f" Lar's home is {find_home()}; LAR_HOME sets another one." if is_own else ""
            return fail(f"{path}: {problem.strerror}.{hint}", EXIT_FAILED)
        case _:
            what = f"{type(problem).__name__}: {problem}"
            return fail(f"Lar itself failed, which is a defect: {what}. {_keep_story(problem)}", EXIT_FAILED)


def _keep_story(problem: Exception) -> str:
    """Write the traceback where the operator finds it; return the sentence that says where."""
    path = find_home() / "logs" / "command.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(traceback.format_exception(problem)), encoding="utf-8")
    except OSError as second:
        return f"The details could not be kept either ({second})."

    return f"The details are in {path}."


def command_parser() -> argparse.ArgumentParser:
    """Return what reads the command line: all commands with their arguments."""
    parser = argparse.ArgumentParser(
        prog="lar",
        description="Inference, agents and memory in one program, on hardware that you own.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"lar {__version__}")
    parser.set_defaults(module="console", function="open_console", model=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_server_commands(commands)
    _add_model_commands(commands)
    add_agent_commands(commands)
    add_recall_commands(commands)
    add_mcp_commands(commands)
    add_policy_commands(commands)
    _add_key_commands(commands)
    return parser


def _add_server_commands(commands: Any) -> None:
    console = add_command(commands, "console", "console", "open_console", "open the console (the default)")
    console.add_argument("model", nargs="?", help="the model to chat with")

    serve = add_command(commands, "serve", "serve", "serve_forever", "run the server in the foreground")
    serve.add_argument("--host", help="address to listen on (default: server.host)")
    serve.add_argument("--port", type=_port, help="port to listen on (default: server.port)")
    serve.add_argument(
        "--scripted", action="store_true", help="offer the model 'scripted', which needs no weights"
    )
    serve.add_argument("--background", action="store_true", help=argparse.SUPPRESS)

    status = add_command(commands, "status", "status", "show_status", "show the server and its models")
    with_json(status)
    add_command(commands, "stop", "status", "stop_server", "stop the server")

    logs = add_command(commands, "logs", "logs", "show_logs", "show the server's log")
    logs.add_argument(
        "-n", "--lines", type=_count, default=50, help="how many of the last lines (default: 50)"
    )
    logs.add_argument("-f", "--follow", action="store_true", help="go on with new lines")
    with_json(logs)

    add_doctor_command(commands)


def _add_model_commands(commands: Any) -> None:
    chat = add_command(
        commands, "chat", "chat", "chat", 'ask a model: lar chat [MODEL] ["PROMPT"], or a prompt from a pipe'
    )
    chat.add_argument("words", nargs="*", metavar="[MODEL] [PROMPT]")
    chat.add_argument("--system", help="the system message")
    chat.add_argument("--temperature", type=float)
    chat.add_argument("--max-tokens", type=_count)
    with_json(chat)

    models = add_command(commands, "models", "models", "list_models", "list and install models")
    actions = models.add_subparsers(title="actions", metavar="ACTION")
    with_json(add_command(actions, "list", "models", "list_models", "list the known models"))
    install = add_command(actions, "install", "models", "install_model", "install a model and what it needs")
    install.add_argument("model")
    unload = add_command(actions, "unload", "models", "unload_model", "free the memory of a model")
    unload.add_argument("model")
    models.set_defaults(json=False)


def _add_key_commands(commands: Any) -> None:
    keys = add_command(commands, "keys", "keys", "list_keys", "make, list and revoke API keys")
    keys.set_defaults(json=False)
    actions = keys.add_subparsers(title="actions", metavar="ACTION")
    create = add_command(actions, "create", "keys", "create_key", "make a key; it is shown once")
    create.add_argument("name", nargs="?", default="default", help="what the key is for")
    create.add_argument(
        "--role",
        choices=("user", "operator"),
        default="user",
        help="user: inference and knowledge · operator: also state, events, installs (default: user)",
    )
    create.add_argument(
        "--tenant",
        default="local",
        help="whose knowledge and memory the key opens; tenants never see each other's (default: local)",
    )
    with_json(create)
    with_json(add_command(actions, "list", "keys", "list_keys", "list the keys, without their secrets"))
    revoke = add_command(actions, "revoke", "keys", "revoke_key", "make a key useless")
    revoke.add_argument("id", help="the key's id, as 'lar keys list' shows it")


def _port(text: str) -> int:
    port = _number(text)
    if port > 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port; ports end at 65535")
    return port


def _count(text: str) -> int:
    count = _number(text)
    if count < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return count


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number")
    return int(text)
