"""/v1/uploads: a large file in parts, put together in the order that its sender names.

An upload and its parts are records and files of reserved purposes: they go by themselves after an hour.
"""

import hashlib
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

import msgspec
from aiohttp import web

from runtime.api.bodies import read_body
from runtime.api.deps import DEPS
from runtime.api.errors import invalid, not_found
from runtime.api.multipart import FileLimit, FormFile, file_limit, open_form, upload_too_large
from runtime.api.openai.files import (
    FileExpiry,
    FileWishes,
    Purpose,
    WireFile,
    discard,
    read_pieces,
    wire_file,
)
from runtime.api.openai.records import Kind, find_held, keep_record, read_record
from runtime.api.openai.sampling import NotEmpty, Wire
from runtime.api.reach import Entry, json_answer, recall_of, tenant_of
from runtime.core.ids import TenantId
from runtime.core.knowledge import StoredFile
from runtime.core.recall import Files

PART_LIMIT_BYTES = 64 * 1024 * 1024
"""As OpenAI's."""
PARTS_LIMIT = 10_000
EXPIRES_AFTER_S = 3600.0
UPLOAD = Kind("upload", "upload_")
PART = Kind("part", "part_")


class UploadBody(Wire, frozen=True, kw_only=True):
    """What clients send to begin."""

    bytes: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    filename: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    mime_type: Annotated[str, msgspec.Meta(max_length=255)]
    purpose: Purpose
    expires_after: FileExpiry | None = None


class CompleteBody(Wire, frozen=True, kw_only=True):
    """What clients send to put the parts together."""

    part_ids: Annotated[list[NotEmpty], msgspec.Meta(min_length=1, max_length=PARTS_LIMIT)]
    md5: str | None = None
    sha256: str | None = None
    """Lar's own."""


class WireUpload(msgspec.Struct, frozen=True, kw_only=True):
    """An upload as OpenAI's clients know it."""

    id: str
    object: str = "upload"
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: str
    status: str
    file: WireFile | None = None


class WirePart(msgspec.Struct, frozen=True, kw_only=True):
    """A part of an upload."""

    id: str
    object: str = "upload.part"
    created_at: int
    upload_id: str


async def post_upload(request: web.Request) -> web.Response:
    """Begin an upload."""
    body = await read_body(request, UploadBody)
    limit = file_limit(request)
    if body.bytes > limit.size_bytes:
        raise upload_too_large(limit, "bytes")

    files, tenant = recall_of(request).files, tenant_of(request)
    stored = await keep_record(files, tenant, UPLOAD, body, EXPIRES_AFTER_S)
    return json_answer(_wire(stored, body, "pending"))


async def post_part(request: web.Request) -> web.Response:
    """Store one part. Parts may come side by side and in any order."""
    files, tenant = recall_of(request).files, tenant_of(request)
    upload, _ = await _asked(request)
    limit = FileLimit(PART_LIMIT_BYTES, "Send it in several parts.")
    part: StoredFile | None = None
    async for field in open_form(request, limit, ("data",)).parts():
        if not isinstance(field, FormFile) or field.name != "data" or part is not None:
            raise invalid("The form must hold exactly one part, in the field 'data'.", field.name[:80])
        # A part is called after its upload: so it is known to belong to it.
        part = await files.add(
            tenant, upload.id, PART.purpose, field.chunks(), expires_after_s=EXPIRES_AFTER_S
        )
    if part is None:
        raise invalid("Missing required parameter: 'data'.", "data", code="missing_required_parameter")

    return json_answer(
        WirePart(id=PART.id_of(part.id), created_at=int(part.created_at), upload_id=UPLOAD.id_of(upload.id))
    )


async def post_complete(request: web.Request) -> web.Response:
    """Put the parts together in the order of `part_ids`, check length and hash, and store the file."""
    body = await read_body(request, CompleteBody)
    files, tenant = recall_of(request).files, tenant_of(request)
    upload, wishes = await _asked(request)
    parts = [await _part(files, tenant, upload, each, n) for n, each in enumerate(body.part_ids)]
    total = sum(each.size_bytes for each in parts)
    if total != wishes.bytes:
        message = f"The parts have {total} bytes together, but the upload was announced with {wishes.bytes}."
        raise invalid(message, "part_ids")

    expiry = FileWishes(purpose=wishes.purpose, expires_after=wishes.expires_after)
    file = await files.add(
        tenant,
        wishes.filename,
        wishes.purpose,
        _joined(files, tenant, parts, body),
        expires_after_s=expiry.expires_after_s,
        media_type=wishes.mime_type or None,
    )
    await _tidy(files, tenant, upload)
    return json_answer(_wire(upload, wishes, "completed", file))


async def post_cancel(request: web.Request) -> web.Response:
    """End an upload and remove its parts."""
    upload, wishes = await _asked(request)
    await _tidy(recall_of(request).files, tenant_of(request), upload)
    return json_answer(_wire(upload, wishes, "cancelled"))


async def _joined(
    files: Files, tenant: TenantId, parts: Sequence[StoredFile], body: CompleteBody
) -> AsyncIterator[bytes]:
    """Yield the parts one after the other. Raises Refused at the end where a hash is another one."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    for part in parts:
        async for piece in read_pieces(await files.path(tenant, part.id)):
            md5.update(piece)
            sha256.update(piece)
            yield piece
    _check_hash("md5", body.md5, md5)
    _check_hash("sha256", body.sha256, sha256)


def _check_hash(name: str, wanted: str | None, found: Any) -> None:
    if wanted is not None and wanted.strip().lower() != found.hexdigest():
        message = f"The file's {name} is {found.hexdigest()}, not the given one. Send the parts again."
        raise invalid(message, name, code="checksum_mismatch")


async def _part(files: Files, tenant: TenantId, upload: StoredFile, part: str, place: int) -> StoredFile:
    stored = await find_held(files, tenant, PART, part)
    if stored is None or stored.name != upload.id:
        raise invalid(f"The upload has no part '{part[:80]}'.", f"part_ids[{place}]")
    return stored


async def _asked(request: web.Request) -> tuple[StoredFile, UploadBody]:
    """Return an upload that is still open. Raises Refused (404)."""
    files, tenant = recall_of(request).files, tenant_of(request)
    upload = request.match_info["upload_id"]
    stored = await find_held(files, tenant, UPLOAD, upload)
    is_over = stored is None or _expires_at(stored) <= request.app[DEPS].clock.now()
    if stored is None or is_over:
        message = f"There is no open upload '{upload[:80]}': it ended, or more than an hour has passed."
        raise not_found(message, "not_found", "upload_id")
    return stored, await read_record(files, tenant, stored, UploadBody)


async def _tidy(files: Files, tenant: TenantId, upload: StoredFile) -> None:
    """Remove the record first, so that nothing can be added any more, then the parts."""
    await discard(files, tenant, upload.id)
    for each in await files.list_all(tenant, purpose=PART.purpose):
        if each.name == upload.id:
            await discard(files, tenant, each.id)


def _expires_at(stored: StoredFile) -> float:
    return stored.created_at + EXPIRES_AFTER_S


def _wire(stored: StoredFile, wishes: UploadBody, status: str, file: StoredFile | None = None) -> WireUpload:
    return WireUpload(
        id=UPLOAD.id_of(stored.id),
        bytes=wishes.bytes,
        created_at=int(stored.created_at),
        expires_at=int(_expires_at(stored)),
        filename=wishes.filename,
        purpose=wishes.purpose,
        status=status,
        file=None if file is None else wire_file(file),
    )


ROUTES: tuple[Entry, ...] = (
    ("POST", "/v1/uploads", "infer", post_upload),
    ("POST", "/v1/uploads/{upload_id}/parts", "infer", post_part),
    ("POST", "/v1/uploads/{upload_id}/complete", "infer", post_complete),
    ("POST", "/v1/uploads/{upload_id}/cancel", "infer", post_cancel),
)
