"""Who may do what: the rule that every route asks. Policies and approvals will meet calls here too.

A `Principal` comes from the door it entered by (a key, the loopback, a probe). Permissions are few and
named; a route states the one it needs. Deny is the default.
"""

from typing import Literal

import msgspec

from runtime.core.ids import LOCAL_TENANT, PrincipalId, TenantId

Permission = Literal["public", "infer", "observe", "operate"]
"""public: probes · infer: models, generation · observe: events, metrics, state · operate: installs, loads."""

Role = Literal["user", "operator"]

_GRANTS: dict[Role, frozenset[Permission]] = {
    "user": frozenset({"public", "infer"}),
    "operator": frozenset({"public", "infer", "observe", "operate"}),
}


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks."""

    id: PrincipalId
    role: Role
    tenant: TenantId = LOCAL_TENANT


OWNER = Principal(id=PrincipalId("owner"), role="operator")
"""The owner of the machine: Lar's own commands, and whoever reaches a Lar without keys over the loopback."""


class Denied(msgspec.Struct, frozen=True, kw_only=True):
    """The answer no, with the rule that said it."""

    rule: Literal["key-missing", "role"]
    message: str


def decide_access(principal: Principal | None, permission: Permission) -> Denied | None:
    """Say whether this principal may use a route with this permission; None means yes."""
    if permission == "public":
        return None

    if principal is None:
        return Denied(
            rule="key-missing",
            message="This server needs an API key. Send it as 'Authorization: Bearer …'; "
            "'lar keys create' makes one.",
        )

    if permission in _GRANTS[principal.role]:
        return None

    return Denied(
        rule="role",
        message=f"This key has the role '{principal.role}', which does not include '{permission}'. "
        "Create one with 'lar keys create --role operator'.",
    )
