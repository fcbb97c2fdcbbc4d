"""Asks Cedar: which policies of a set apply to a request."""

import re
from collections import OrderedDict
from typing import NamedTuple

import cedarpy

from runtime.core.gate.cedar_request import CedarRequest

_BROKE = re.compile(r"^error while evaluating policy `([^`]*)`: (.*)$", re.DOTALL)
_KEPT = 256
_KEPT_SIGNS = 4096
"""Longer entities carry long arguments, which hardly come twice."""


class EvaluationFailed(ValueError):
    """Cedar could not take the request."""


class Evaluated(NamedTuple):
    """What Cedar says."""

    applied: tuple[str, ...]
    """The forbids that apply; where there is none, the permits."""
    broken: dict[str, str]
    """Policies that could not be evaluated, with the cause; Cedar leaves them out."""


class Evaluator:
    """A set of policies that answers requests."""

    def __init__(self, policies: cedarpy.PolicySet) -> None:
        self._policies = policies
        self._entities: OrderedDict[str, cedarpy.Entities] = OrderedDict()
        """Parsed for earlier requests; the same caller and tool come again and again."""

    def evaluate(self, request: CedarRequest) -> Evaluated:
        """Return which policies apply. Raises EvaluationFailed."""
        result = cedarpy.is_authorized(request.as_dict(), self._policies, self._parsed(request.entities))
        errors = result.diagnostics.errors
        if result.decision is cedarpy.Decision.NoDecision:
            raise EvaluationFailed("; ".join(errors))

        broken: dict[str, str] = {}
        for each in errors:
            found = _BROKE.match(each)
            if found is None:
                raise EvaluationFailed(each)
            broken[found.group(1)] = found.group(2)
        return Evaluated(tuple(result.diagnostics.reasons), broken)

    def _parsed(self, entities: str) -> cedarpy.Entities:
        known = self._entities.get(entities)
        if known is not None:
            self._entities.move_to_end(entities)
            return known

        try:
            parsed = cedarpy.Entities.from_json_str(entities)
        except ValueError as problem:
            raise EvaluationFailed(str(problem)) from problem
        if len(entities) <= _KEPT_SIGNS:
            self._entities[entities] = parsed
            if len(self._entities) > _KEPT:
                self._entities.popitem(last=False)
        return parsed
