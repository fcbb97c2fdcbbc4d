"""/v1/files: uploaded files as OpenAI keeps them, stored as they come and given back byte for byte.

A form's file is stored while it arrives. Where a field that says what it is for comes only after it, the
file is stored again under its right name; its bytes lie on disk once all the same.
"""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import quote

import anyio
import msgspec
from aiohttp import web

from runtime.api.bodies import decode_body
from runtime.api.errors import invalid, not_found
from runtime.api.multipart import CHUNK_BYTES, FormField, FormFile, open_form
from runtime.api.openai.paging import page_of, window_of
from runtime.api.openai.sampling import Wire
from runtime.api.query import QueryString
from runtime.api.reach import Entry, json_answer, recall_of, tenant_of
from runtime.core.errors import Fault, NotFound, StoreDamaged
from runtime.core.ids import FileId, TenantId
from runtime.core.knowledge import StoredFile
from runtime.core.recall import Files

LIST_LIMIT = 10_000
"""As OpenAI's."""
BATCH_EXPIRY_S = 30 * 86_400
"""Files of the purpose `batch` go by themselves, as OpenAI's do."""
KEPT_PREFIX = "lar:"
"""Purposes that begin so are those of Lar's own records; for clients such files do not exist."""
TIDY_S = 5.0
"""For removing what an upload that failed has left."""

Purpose = Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]

_INCOMING = f"{KEPT_PREFIX}incoming"
_INCOMING_EXPIRY_S = 3600.0
_FIELDS = ("purpose", "expires_after", "expires_after[anchor]", "expires_after[seconds]")


class FileExpiry(Wire, frozen=True, kw_only=True):
    """When a file goes by itself."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, msgspec.Meta(ge=3600, le=2_592_000)]


class FileWishes(Wire, frozen=True, kw_only=True):
    """What a file is for, and how long it stays."""

    purpose: Purpose
    expires_after: FileExpiry | None = None

    @property
    def expires_after_s(self) -> float | None:
        """Seconds until it goes; None: it stays."""
        if self.expires_after is not None:
            return float(self.expires_after.seconds)
        return float(BATCH_EXPIRY_S) if self.purpose == "batch" else None


class WireFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file as OpenAI's clients know it."""

    id: str
    object: str = "file"
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: str
    status: str = "processed"
    status_details: str | None = None


class WireDeleted(msgspec.Struct, frozen=True, kw_only=True):
    """That an object is gone."""

    id: str
    object: str
    deleted: bool = True


class _Kept(NamedTuple):
    """A form's file, and what was known of it when it was stored."""

    file: StoredFile
    wishes: FileWishes | None


async def post_file(request: web.Request) -> web.Response:
    """Store the file of a form."""
    files, tenant = recall_of(request).files, tenant_of(request)
    fields: dict[str, str] = {}
    kept: _Kept | None = None
    try:
        async for part in open_form(request).parts():
            if isinstance(part, FormField):
                _note(part, fields)
                continue

            if part.name != "file" or kept is not None:
                raise invalid("The form must hold exactly one file, in the field 'file'.", part.name[:80])
            kept = await _keep(files, tenant, part, fields)
        wishes = _wishes_of(fields)
        if kept is None:
            raise invalid("Missing required parameter: 'file'.", "file", code="missing_required_parameter")

        kept = await _settle(files, tenant, kept, wishes)
    except BaseException:
        if kept is not None:
            with anyio.move_on_after(TIDY_S, shield=True):
                await discard(files, tenant, kept.file.id)
        raise
    return json_answer(wire_file(kept.file))


async def get_files(request: web.Request) -> web.Response:
    """List files, the newest first."""
    query = QueryString(request, "limit", "order", "after", "purpose")
    window = window_of(query, default_limit=LIST_LIMIT, max_limit=LIST_LIMIT)
    files, tenant, purpose = recall_of(request).files, tenant_of(request), query.text("purpose")
    after = None if window.after is None else FileId(window.after)
    found: list[StoredFile] = []
    while len(found) <= window.limit:
        batch = await files.list_all(
            tenant,
            purpose=purpose,
            limit=window.limit + 1,
            after=after,
            is_newest_first=window.is_newest_first,
        )
        found += [each for each in batch if not is_record(each)]
        if len(batch) <= window.limit:
            break
        after = batch[-1].id
    wired = [wire_file(each) for each in found[: window.limit]]
    return json_answer(page_of(wired, lambda each: each.id, has_more=len(found) > window.limit))


async def get_file(request: web.Request) -> web.Response:
    """Describe one file."""
    return json_answer(wire_file(await _asked(request)))


async def delete_file(request: web.Request) -> web.Response:
    """Remove a file; what was made of it stays."""
    file = await _asked(request)
    await recall_of(request).files.remove(tenant_of(request), file.id)
    return json_answer(WireDeleted(id=file.id, object="file"))


async def get_file_content(request: web.Request) -> web.StreamResponse:
    """Give a file back byte for byte."""
    file = await _asked(request)
    return await download(await recall_of(request).files.path(tenant_of(request), file.id), file.name)


async def find_file(files: Files, tenant: TenantId, file: str, param: str) -> StoredFile:
    """Return a file that clients may see. Raises Refused (404)."""
    try:
        stored = await files.find(tenant, FileId(file))
    except NotFound as problem:
        raise not_found(f"No such File object: {file[:80]}.", "not_found", param) from problem

    if is_record(stored):
        raise not_found(f"No such File object: {file[:80]}.", "not_found", param)
    return stored


def is_record(file: StoredFile) -> bool:
    """Whether a stored file is one of Lar's own records."""
    return file.purpose.startswith(KEPT_PREFIX)


def wire_file(stored: StoredFile) -> WireFile:
    """Say a file in OpenAI's words."""
    return WireFile(
        id=stored.id,
        bytes=stored.size_bytes,
        created_at=int(stored.created_at),
        expires_at=None if stored.expires_at is None else int(stored.expires_at),
        filename=stored.name,
        purpose=stored.purpose,
    )


async def discard(files: Files, tenant: TenantId, file: FileId) -> None:
    """Remove a file that may have gone by itself meanwhile."""
    try:
        await files.remove(tenant, file)
    except NotFound:
        return


async def download(path: Path, name: str) -> web.FileResponse:
    """Return what somebody has uploaded, so that browsers save it and never run it. Raises StoreDamaged."""
    if not await anyio.Path(path).is_file():
        message = f"The bytes of '{name}' are gone from the disk. Upload it again, or restore a backup."
        raise StoreDamaged(Fault(code="store_damaged", message=message))
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
    }
    return web.FileResponse(path, headers=headers)


async def read_pieces(path: Path) -> AsyncIterator[bytes]:
    """Yield the content of a file on disk."""
    async with await anyio.open_file(path, "rb") as file:
        while piece := await file.read(CHUNK_BYTES):
            yield piece


def _note(part: FormField, fields: dict[str, str]) -> None:
    if part.name not in _FIELDS:
        known = ", ".join(("file", *_FIELDS))
        message = f"Unknown parameter: '{part.name[:80]}'. Known: {known}."
        raise invalid(message, part.name[:80], code="unknown_parameter")
    fields[part.name] = part.value


async def _keep(files: Files, tenant: TenantId, part: FormFile, fields: Mapping[str, str]) -> _Kept:
    """Store the file under what is known of it so far."""
    wishes = _wishes_of(fields) if "purpose" in fields else None
    stored = await files.add(
        tenant,
        part.filename,
        _INCOMING if wishes is None else wishes.purpose,
        part.chunks(),
        expires_after_s=_INCOMING_EXPIRY_S if wishes is None else wishes.expires_after_s,
        media_type=part.media_type,
    )
    return _Kept(stored, wishes)


async def _settle(files: Files, tenant: TenantId, kept: _Kept, wishes: FileWishes) -> _Kept:
    """Store the file again where a field after it changed what is known of it."""
    if kept.wishes == wishes:
        return kept

    stored = await files.add(
        tenant,
        kept.file.name,
        wishes.purpose,
        read_pieces(await files.path(tenant, kept.file.id)),
        expires_after_s=wishes.expires_after_s,
        media_type=kept.file.media_type,
    )
    await discard(files, tenant, kept.file.id)
    return _Kept(stored, wishes)


def _wishes_of(fields: Mapping[str, str]) -> FileWishes:
    """Read the plain fields: `expires_after` comes as JSON or as two fields. Raises Refused."""
    body: dict[str, Any] = {}
    if "purpose" in fields:
        body["purpose"] = fields["purpose"]
    if "expires_after" in fields:
        body["expires_after"] = msgspec.Raw(fields["expires_after"].encode() or b"null")
    expiry = {name: fields[f"expires_after[{name}]"] for name in ("anchor", "seconds") if _has(fields, name)}
    if expiry:
        seconds = expiry.get("seconds", "")
        is_number = seconds.isascii() and seconds.isdecimal() and len(seconds) <= len("2592000")
        body["expires_after"] = expiry | ({"seconds": int(seconds)} if is_number else {})
    return decode_body(msgspec.json.encode(body), FileWishes)


def _has(fields: Mapping[str, str], name: str) -> bool:
    return f"expires_after[{name}]" in fields


async def _asked(request: web.Request) -> StoredFile:
    file = request.match_info["file_id"]
    return await find_file(recall_of(request).files, tenant_of(request), file, "file_id")


ROUTES: tuple[Entry, ...] = (
    ("POST", "/v1/files", "infer", post_file),
    ("GET", "/v1/files", "infer", get_files),
    ("GET", "/v1/files/{file_id}", "infer", get_file),
    ("DELETE", "/v1/files/{file_id}", "infer", delete_file),
    ("GET", "/v1/files/{file_id}/content", "infer", get_file_content),
)
