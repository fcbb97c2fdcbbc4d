"""Agents whose runs all carry labels, for who starts runs through others and must find them again."""

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from runtime.core.agents.parts import AgentParts
from runtime.core.agents.plans import Plan
from runtime.core.agents.ports import AgentRuns, Lent, NewRun, RunFollower
from runtime.core.agents.starting import Starter, Wish


def labelled(parts: AgentParts, labels: Mapping[str, str]) -> AgentParts:
    """Return the same agents; each run that is started through them has these labels beside its own."""

    def add(plan: Plan) -> Plan:
        return msgspec.structs.replace(plan, labels={**plan.labels, **labels})

    runs = cast("AgentRuns", _Runs(parts.runs, add))  # what is not started passes through
    return parts._replace(runs=runs, starter=cast("Starter", _Starter(parts.starter, add)))


class _Runs:
    """Runs, but for how one is started."""

    def __init__(self, runs: AgentRuns, add: Any) -> None:
        self._runs = runs
        self._add = add

    async def start(self, new: NewRun, lent: Lent | None = None) -> RunFollower:
        return await self._runs.start(msgspec.structs.replace(new, plan=self._add(new.plan)), lent)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runs, name)


class _Starter:
    """A starter, but for the plans of what it starts."""

    def __init__(self, starter: Starter, add: Any) -> None:
        self._starter = starter
        self._add = add

    async def start(self, wish: Wish) -> RunFollower:
        shape = wish.shape

        def shaped(plan: Plan) -> Plan:
            labelled_plan: Plan = self._add(plan if shape is None else shape(plan))
            return labelled_plan

        return await self._starter.start(dataclasses.replace(wish, shape=shaped))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._starter, name)
