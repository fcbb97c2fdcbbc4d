"""Names for the identities that travel through Lar, and how those are made that live no longer than it."""

import secrets
from typing import NewType

RunId = NewType("RunId", str)
ModelId = NewType("ModelId", str)
WorkerId = NewType("WorkerId", str)
TenantId = NewType("TenantId", str)
PrincipalId = NewType("PrincipalId", str)
CollectionId = NewType("CollectionId", str)
DocumentId = NewType("DocumentId", str)
ItemId = NewType("ItemId", str)
FileId = NewType("FileId", str)
SourceId = NewType("SourceId", str)
JobId = NewType("JobId", str)
ChunkId = NewType("ChunkId", int)
CallId = NewType("CallId", str)
ApprovalId = NewType("ApprovalId", str)
QuestionId = NewType("QuestionId", str)

LOCAL_TENANT = TenantId("local")
"""The one tenant of a Lar that nobody shares."""

_ENTROPY_BYTES = 12  # 96 bits: no clash within one owner's lifetime of runs


def new_run_id() -> RunId:
    """Return a fresh run id."""
    return RunId(f"run_{secrets.token_hex(_ENTROPY_BYTES)}")


def new_worker_id() -> WorkerId:
    """Return a fresh worker id."""
    return WorkerId(f"wrk_{secrets.token_hex(4)}")
