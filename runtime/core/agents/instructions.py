"""Fills the templates of instructions, in a sandbox: they name values and choose between texts, no more.

What changes from run to run comes last, so that the beginning of the prompt stays as a model has it cached.
"""

from collections.abc import Mapping
from datetime import datetime

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from runtime.core.agents.definition import Agent
from runtime.core.errors import Fault, RequestInvalid

LONGEST_CHARACTERS = 400_000
_ENVIRONMENT = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=False
)
_ENVIRONMENT.globals.clear()  # no `range`, no `lipsum`: a template that loops forever cannot be written


def values_of(agent: Agent, now: datetime, given: Mapping[str, str]) -> dict[str, str]:
    """Return what templates may name; what is given for this run goes before the agent's own variables."""
    return {
        "name": agent.name,
        "description": agent.description,
        "date": now.strftime("%Y-%m-%d"),
        "weekday": now.strftime("%A"),
        "time": now.strftime("%H:%M"),
        "timezone": now.tzname() or "",
        "event": "",
        "user": "",
        **agent.variables,
        **given,
    }


def fill(template: str, values: Mapping[str, str], field: str) -> str:
    """Fill a template. Raises RequestInvalid that names the field and what it lacks."""
    if "{" not in template:
        return template

    try:
        text = _ENVIRONMENT.from_string(template).render(values)
    except TemplateError as problem:
        known = ", ".join(sorted(values))
        message = f"'{field}' cannot be filled: {problem.message}. It may name: {known}."
        raise RequestInvalid(Fault(code="invalid_request", message=message, param=field)) from problem

    if len(text) > LONGEST_CHARACTERS:
        message = f"'{field}' became longer than {LONGEST_CHARACTERS:,} characters."
        raise RequestInvalid(Fault(code="invalid_request", message=message, param=field))
    return text


def check_templates(agent: Agent) -> None:
    """Fill all templates once, with made-up values. Raises RequestInvalid."""
    values = values_of(agent, datetime(2026, 1, 1), {"tools": ""})
    fill(agent.instructions, values, "instructions")
    for place, each in enumerate(agent.dynamic):
        fill(each, values, f"dynamic[{place}]")
    for place, trigger in enumerate(agent.triggers):
        fill(trigger.message, values, f"triggers[{place}].message")
