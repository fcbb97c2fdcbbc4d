"""What one caller may do to the collections of Recall: each asked of the gate by its own name.

A collection that a caller names is asked for, also of a person where policies want one. Of many that are
looked through at once, those that are not allowed are left out. An answer holds as long as the pass does:
for one request, or one call of a tool.
"""

from collections.abc import Sequence

import msgspec

from runtime.core.errors import Fault, PolicyDenied
from runtime.core.gate.words import Action, Gate, GateResource, Question, Ruling
from runtime.core.ids import CollectionId
from runtime.core.knowledge import Collection
from runtime.core.tools import Caller

ANY = "*"
"""Stands for what lies in no collection: files that were uploaded, and what is remembered."""


class KnowledgePass:
    """Asks the gate about collections for one caller, each once."""

    def __init__(self, gate: Gate, caller: Caller) -> None:
        self._gate = gate
        self._caller = caller
        self._passed: set[tuple[Action, CollectionId]] = set()

    def has(self, action: Action, collection: CollectionId) -> bool:
        """Say whether the caller has been let in already."""
        return (action, collection) in self._passed

    async def enter(self, action: Action, collection: Collection) -> None:
        """Let the caller at a collection that it names. Raises PolicyDenied, also while a person is asked."""
        if self.has(action, collection.id):
            return

        ruling = await self._gate.rule(self._question(action, _resource(collection)))
        _check(ruling)
        self._passed.add((action, collection.id))

    async def enter_any(self, action: Action, kind: str, name: str = ANY) -> None:
        """Let the caller at what lies in no collection, or at one that is yet to be made."""
        attributes = {"name": name, "kind": kind}
        resource = GateResource(kind="Collection", id=name, attributes=attributes)
        _check(await self._gate.rule(self._question(action, resource)))

    def is_denied(self, action: Action, collection: Collection) -> bool:
        """Say whether the caller can get nothing there, without telling anybody."""
        if self.has(action, collection.id):
            return False
        return self._gate.look(self._question(action, _resource(collection))) == "deny"

    async def sift(self, action: Action, collections: Sequence[Collection]) -> list[Collection]:
        """Return those that the caller may look through now; nobody is asked about the others."""
        return [each for each in collections if await self._is_open(action, each)]

    async def _is_open(self, action: Action, collection: Collection) -> bool:
        if self.has(action, collection.id):
            return True
        question = self._question(action, _resource(collection))
        if self._gate.look(question) == "ask":
            return False
        if (await self._gate.rule(question)).outcome != "allow":
            return False
        self._passed.add((action, collection.id))
        return True

    def _question(self, action: Action, resource: GateResource) -> Question:
        caller = self._caller
        tenant = {"tenant": caller.principal.tenant}
        return Question(
            principal=caller.principal,
            action=action,
            resource=msgspec.structs.replace(resource, attributes=resource.attributes | tenant),
            door=caller.door,
            session=caller.session,
            run=caller.run,
            agent=caller.agent,
        )


def _resource(collection: Collection) -> GateResource:
    told = {"id": str(collection.id), "name": collection.name, "kind": str(collection.kind)}
    return GateResource(kind="Collection", id=collection.name, attributes=told)


def _check(ruling: Ruling) -> None:
    if ruling.outcome != "allow":
        raise PolicyDenied(Fault(code="denied", message=ruling.reason))
