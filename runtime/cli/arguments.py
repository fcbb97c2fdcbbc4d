"""How a command is declared, alike for all of them: what it runs, its help, and an example."""

import argparse
from typing import Any


def add_command(
    commands: Any, name: str, module: str, function: str, text: str, example: str = ""
) -> argparse.ArgumentParser:
    """Declare the command that runs `function` of `runtime.cli.<module>`, which is imported only then."""
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=text,
        epilog=f"example: {example}" if example else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(module=module, function=function)
    return command


def with_json(command: argparse.ArgumentParser) -> None:
    """Let a command print for programs."""
    command.add_argument("--json", action="store_true", help="print JSON for programs")
