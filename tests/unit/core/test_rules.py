"""The small rules: restarts, access. Admission and placement have files of their own."""

import pytest

from runtime.backends.restarts import DEATHS_ALLOWED, WINDOW_S, Abandon, Restart, decide_restart
from runtime.core.gate.principals import OWNER, Permission, Principal, decide_access
from runtime.core.ids import PrincipalId

USER = Principal(id=PrincipalId("key_1"), role="user")


def test_a_worker_that_dies_now_and_then_starts_again_later_and_later_then_not_at_all() -> None:
    now = 1000.0
    verdicts = [decide_restart(tuple([now] * deaths), now) for deaths in range(DEATHS_ALLOWED + 1)]

    assert verdicts[0] is None
    assert [each.delay_s for each in verdicts if isinstance(each, Restart)] == [0.0, 0.5, 1.0, 2.0]
    assert verdicts[-1] == Abandon(attempts=DEATHS_ALLOWED)
    assert decide_restart(tuple([now] * 9), now + WINDOW_S) is None


@pytest.mark.parametrize(
    ("principal", "permission", "rule"),
    [
        (None, "public", None),
        (None, "infer", "key-missing"),
        (USER, "infer", None),
        (USER, "observe", "role"),
        (USER, "operate", "role"),
        (OWNER, "operate", None),
    ],
)
def test_access_is_what_the_role_grants(
    principal: Principal | None, permission: Permission, rule: str | None
) -> None:
    denied = decide_access(principal, permission)

    assert (denied.rule if denied else None) == rule
