"""What can be typed after `lar doctor`."""

from typing import Any

from runtime.cli.arguments import add_command, with_json


def add_doctor_command(commands: Any) -> None:
    """Declare `lar doctor`."""
    text = "check this machine, and the database of agents; copy that, or put back a copy"
    doctor = add_command(commands, "doctor", "doctor", "examine", text, "lar doctor --restore latest")
    group = doctor.add_mutually_exclusive_group()
    group.add_argument("--repair", action="store_true", help="mend what is derived; the server must run")
    group.add_argument("--snapshot", action="store_true", help="copy lar.duckdb now; the server must run")
    group.add_argument("--snapshots", action="store_true", help="list the copies of lar.duckdb")
    group.add_argument(
        "--restore", metavar="NAME", help="put back this copy, or 'latest'; the server must be stopped"
    )
    group.add_argument(
        "--set-aside",
        action="store_true",
        help="keep lar.duckdb under another name and begin anew; the server must be stopped",
    )
    doctor.add_argument("--yes", action="store_true", help="do not ask before")
    with_json(doctor)
