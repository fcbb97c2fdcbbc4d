"""Checks a call's arguments against the tool's JSON schema; says what is wrong so that a model can mend it.

A `$ref` that leads out of the schema is never followed.
"""

from collections import OrderedDict
from typing import Any

import jsonschema_rs

_MOST_PROBLEMS = 5
_KEPT = 512
"""Compiled schemas; more tools than that in use at once is rare, and compiling takes a millisecond."""
_Compiled = Any


class ArgumentCheck:
    """Compiled schemas by the digest of their tool."""

    def __init__(self) -> None:
        self._compiled: OrderedDict[str, _Compiled | None] = OrderedDict()

    def problems(self, digest: str, schema: dict[str, Any], arguments: dict[str, Any]) -> str:
        """Return what is wrong with the arguments; empty where nothing is.

        Of a schema that is itself wrong nothing is said: its server decides.
        """
        check = self._find(digest, schema)
        if check is None or check.is_valid(arguments):
            return ""

        lines = []
        for number, problem in enumerate(check.iter_errors(arguments)):
            if number == _MOST_PROBLEMS:
                lines.append("- …")
                break
            place = ".".join(str(step) for step in problem.instance_path)
            lines.append(f"- {place or 'the arguments'}: {problem.message[:300]}")
        return "\n".join(lines)

    def _find(self, digest: str, schema: dict[str, Any]) -> _Compiled | None:
        if digest in self._compiled:
            self._compiled.move_to_end(digest)
            return self._compiled[digest]

        try:
            check = jsonschema_rs.validator_for(schema, retriever=_refuse)
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError):
            check = None
        self._compiled[digest] = check
        if len(self._compiled) > _KEPT:
            self._compiled.popitem(last=False)
        return check


def _refuse(uri: str) -> Any:
    raise ValueError(f"schemas of other places are not fetched: {uri}")
