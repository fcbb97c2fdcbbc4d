"""What can be typed after `lar agents`: every command with its options and an example."""

from typing import Any

from runtime.cli.arguments import add_command, with_json


def add_agent_commands(commands: Any) -> None:
    """Declare `lar agents` with all its actions."""
    text = "agents: run them, see what they did, and change them"
    agents = add_command(commands, "agents", "agents", "list_agents", text, "lar agents list")
    agents.set_defaults(json=False)
    actions = agents.add_subparsers(title="actions", metavar="ACTION")
    with_json(add_command(actions, "list", "agents", "list_agents", "list the agents", "lar agents list"))
    _add_run(actions)
    _add_definitions(actions)
    _add_runs(actions)


def _add_run(actions: Any) -> None:
    text = "give an agent a task and watch it work; questions to you are asked here"
    example = 'lar agents run clerk "Sort the inbox"'
    run = add_command(actions, "run", "agent_run", "run_agent", text, example)
    run.add_argument("agent", help="its name, or a file with a definition that is run once and not kept")
    run.add_argument("task", nargs="*", help="what to do; a pipe adds to it")
    run.add_argument("--session", help="a conversation that it continues (conv_…)")
    run.add_argument(
        "--variable",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="for the templates of its instructions",
    )
    run.add_argument("--background", action="store_true", help="do not wait: print the run's id")
    run.add_argument("--thoughts", action="store_true", help="show what it reasons, too")
    with_json(run)


def _add_definitions(actions: Any) -> None:
    create = add_command(
        actions,
        "create",
        "agents",
        "create_agent",
        "make an agent from a file",
        "lar agents create clerk.yaml",
    )
    create.add_argument("file", help="YAML or JSON; - for standard input")
    text = "open an agent's file in $EDITOR; a wrong one is told and not taken"
    edit = add_command(actions, "edit", "agents", "edit_agent", text, "lar agents edit clerk")
    edit.add_argument("agent")
    text = "show an agent's definition, or a run with its steps"
    show = add_command(actions, "show", "agents", "show_agent", text, "lar agents show clerk")
    show.add_argument("agent", help="an agent's name, or a run's id (run_…)")
    with_json(show)
    for name, function, text in (
        ("pause", "pause_agent", "let nothing start an agent"),
        ("resume", "resume_agent", "let an agent be started again"),
        ("remove", "remove_agent", "forget an agent; its runs stay"),
    ):
        command = add_command(actions, name, "agents", function, text, f"lar agents {name} clerk")
        command.add_argument("agent")
    export = add_command(
        actions,
        "export",
        "agents",
        "export_agent",
        "print an agent's file",
        "lar agents export clerk > clerk.yaml",
    )
    export.add_argument("agent")
    text = "take an agent in: a file of Lar's, or LocalAGI's JSON"
    taken = add_command(actions, "import", "agents", "import_agent", text, "lar agents import agent.json")
    taken.add_argument("file", help="- for standard input")


def _add_runs(actions: Any) -> None:
    runs = add_command(actions, "runs", "agent_runs", "list_runs", "list runs", "lar agents runs clerk")
    runs.add_argument("agent", nargs="?")
    runs.add_argument(
        "--status", help="queued, in_progress, waiting, completed, incomplete, failed, cancelled"
    )
    runs.add_argument("-n", "--limit", type=int, default=20, help="how many of the newest (default: 20)")
    with_json(runs)
    text = "live a run again on what was recorded, and tell whether it comes to the same"
    replay = add_command(actions, "replay", "agent_runs", "replay_run", text, "lar agents replay run_…")
    replay.add_argument("run")
    with_json(replay)
    text = "begin a run that takes over the first steps of another one and goes on differently"
    fork = add_command(
        actions,
        "fork",
        "agent_runs",
        "fork_run",
        text,
        'lar agents fork run_… --after 4 "Use the other file"',
    )
    fork.add_argument("run")
    fork.add_argument("task", nargs="*", help="what is said then; nothing: the model is asked again")
    fork.add_argument(
        "--after", type=int, required=True, help="steps that are taken over ('show' counts them)"
    )
    with_json(fork)
    cancel = add_command(
        actions, "cancel", "agent_runs", "cancel_run", "stop a run", "lar agents cancel run_…"
    )
    cancel.add_argument("run")
    cancel.add_argument("--reason", default="asked")
    text = "add to what a run was asked; it is heard before the next turn"
    steer = add_command(
        actions, "steer", "agent_runs", "steer_run", text, 'lar agents steer run_… "Only PDFs"'
    )
    steer.add_argument("run")
    steer.add_argument("task", nargs="+")
