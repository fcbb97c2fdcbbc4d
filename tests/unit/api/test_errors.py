"""One table says every fault over HTTP."""

from typing import get_args

import msgspec
import pytest

from runtime.api.errors import ANSWERS, Refusal, envelope, headers_of, refusal_of
from runtime.core.errors import Fault, FaultCode
from runtime.core.ids import RunId


def test_the_table_knows_every_fault_code() -> None:
    assert set(ANSWERS) == set(get_args(FaultCode))


@pytest.mark.parametrize("code", get_args(FaultCode))
def test_each_fault_becomes_an_error_with_a_body_that_clients_read(code: FaultCode) -> None:
    refusal = refusal_of(Fault(code=code, message="why", param="n"))
    error = msgspec.json.decode(envelope(refusal))["error"]

    assert 400 <= refusal.status < 600
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["message"], error["param"]) == ("why", "n")
    assert (refusal.status < 500) == (
        error["type"] in ("invalid_request_error", "rate_limit_error", "permission_error")
    )


def test_who_may_come_back_is_told_when() -> None:
    headers = headers_of(refusal_of(Fault(code="queue_full", message="x", retry_after_s=2.1)))

    assert headers == {"Retry-After": "3", "retry-after-ms": "2100", "x-should-retry": "true"}


def test_what_cannot_succeed_is_not_to_be_retried() -> None:
    assert headers_of(refusal_of(Fault(code="engine_failed", message="x"))) == {"x-should-retry": "false"}


def test_the_detail_is_for_operators() -> None:
    refusal = refusal_of(Fault(code="worker_died", message="x", detail="segfault in foo"))

    assert b"segfault" not in envelope(refusal, run_id=RunId("run_1"))
    assert b"segfault" in envelope(refusal, has_detail=True)


def test_a_refusal_is_a_value() -> None:
    assert Refusal(status=400, type="t", code=None, message="m") == Refusal(
        status=400, type="t", code=None, message="m"
    )
