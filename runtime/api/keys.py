"""API keys: a small file of hashes, owner-readable only, and the question whose key a secret is.

A secret is 256 random bits, shown once. What is stored is its plain SHA-256: salts and slow hashes protect
secrets that people choose, and nobody guesses 256 bits. A file that cannot be read is an error and never
"no keys", since no keys means that the machine's owner needs none.
"""

import hashlib
import hmac
import logging
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import anyio
import anyio.to_thread
import msgspec
from filelock import FileLock

from runtime.core.clock import Clock, SystemClock
from runtime.core.gate.principals import OWNER, Principal, Role
from runtime.core.ids import LOCAL_TENANT, PrincipalId, TenantId

logger = logging.getLogger(__name__)

KEYS_FILE = "keys.json"
"""The key file of a home."""
SECRET_PREFIX = "lar-"  # noqa: S105 - how a secret begins, not one
_SECRET_BYTES = 32
_NAME_LIMIT = 64
_TENANT = re.compile(rf"[a-z0-9][a-z0-9._-]{{0,{_NAME_LIMIT - 1}}}")
_KEY_PREFIX = "key_"
_LOOK_S = 2.0
_LOCK_LIMIT_S = 10.0
"""Whoever holds the lock writes a small file."""
_FILE_LIMIT_BYTES = 4 * 1024 * 1024
"""A file beyond this is not ours: about ten thousand keys."""


class KeysUnreadable(Exception):
    """The key file is damaged or closed to us; the message names it and the way out."""


class KeyRefused(Exception):
    """A key cannot be made or revoked as asked; the message says why."""


class Key(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One stored key; the secret itself is not in it."""

    id: str
    name: str
    role: Role
    sha256: str
    created: int
    """Seconds since the epoch."""
    last4: str
    """The end of the secret, so that its owner recognises it."""
    tenant: TenantId = LOCAL_TENANT
    """Whose knowledge and memory the key opens; those of other tenants do not exist for it."""


class _KeyFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: int
    keys: tuple[Key, ...]


class _Stamp(NamedTuple):
    """What tells one content of the file from another without reading it."""

    mtime_ns: int
    size: int
    inode: int


class KeyStore:
    """The keys in one file. `find` and `has_any` answer from memory; `reload` makes memory true."""

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self._path = path
        self._clock = clock or SystemClock()
        self._stamp: _Stamp | None = None
        self._keys: tuple[Key, ...] = ()
        self._owner_sha256: str | None = None

    def issue_owner_secret(self) -> str:
        """Return a secret that stands for the machine's owner as long as this process lives.

        It is stored nowhere here. Lar's own commands find it beside the server's address, in a file that
        only the owner reads, so that making a key for somebody else locks nobody out at home.
        """
        secret = SECRET_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        self._owner_sha256 = _digest(secret)
        return secret

    def reload(self) -> None:
        """Read the file if it changed; cheap if not. Touches the disk: off the event loop.

        Raises KeysUnreadable at every call until the file is sound; let nobody in meanwhile.
        """
        stamp = self._look()
        if stamp == self._stamp:
            return

        self._keys = self._read() if stamp is not None else ()
        self._stamp = stamp

    async def keep_fresh_forever(self) -> None:
        """Read the file when it changes, also while no request comes. For the app's task group."""
        told = ""
        while True:
            await anyio.sleep(_LOOK_S)
            try:
                await anyio.to_thread.run_sync(self.reload)
                told = ""
            except KeysUnreadable as problem:  # nobody is let in meanwhile; the keys of before still act
                if str(problem) != told:
                    logger.warning("the keys cannot be read", extra={"cause": str(problem)})
                told = str(problem)

    def holds(self, principal: Principal) -> bool:
        """Whether a principal is no key, or one that has not been revoked."""
        is_key = principal.id.startswith(_KEY_PREFIX)
        return not is_key or any(each.id == principal.id for each in self._keys)

    def has_any(self) -> bool:
        """Whether any key exists."""
        return bool(self._keys)

    def find(self, secret: str) -> Principal | None:
        """Return whose secret this is. Compares with every key in constant time, whatever the outcome."""
        digest = _digest(secret)
        found: Principal | None = None
        if self._owner_sha256 is not None and hmac.compare_digest(self._owner_sha256, digest):
            found = OWNER
        for key in self._keys:
            if hmac.compare_digest(key.sha256, digest):
                found = Principal(id=PrincipalId(key.id), role=key.role, tenant=key.tenant)
        return found

    def list_keys(self) -> tuple[Key, ...]:
        """Return all keys, oldest first. Reads the file. Raises KeysUnreadable."""
        self.reload()
        return self._keys

    def create(self, name: str, role: Role, tenant: TenantId = LOCAL_TENANT) -> str:
        """Store a new key and return its secret, which nobody can read again.

        Raises KeyRefused for a bad or taken name or a bad tenant, KeysUnreadable.
        """
        if not name.strip() or len(name) > _NAME_LIMIT or not name.isprintable():
            raise KeyRefused(f"A key's name has 1 to {_NAME_LIMIT} printable characters.")
        if not _TENANT.fullmatch(tenant):
            raise KeyRefused(
                f"A tenant has 1 to {_NAME_LIMIT} small letters, digits, dots, dashes and underscores, and "
                "begins with a letter or a digit."
            )

        secret = SECRET_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        key = Key(
            id=f"{_KEY_PREFIX}{secrets.token_hex(6)}",
            name=name,
            role=role,
            sha256=_digest(secret),
            created=int(self._clock.now()),
            last4=secret[-4:],
            tenant=tenant,
        )
        with self._locked():
            if any(each.name == name for each in self.list_keys()):
                raise KeyRefused(
                    f"A key named '{name}' exists. Choose another name, or revoke that one first."
                )
            self._write((*self._keys, key))
        return secret

    def revoke(self, key_id: str) -> bool:
        """Forget the key with this id or name; False where there is none. Raises KeysUnreadable."""
        with self._locked():
            kept = tuple(each for each in self.list_keys() if key_id not in (each.id, each.name))
            if len(kept) == len(self._keys):
                return False
            self._write(kept)
        return True

    def _look(self) -> _Stamp | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        except OSError as problem:
            raise self._unreadable(str(problem)) from problem
        return _Stamp(found.st_mtime_ns, found.st_size, found.st_ino)

    def _read(self) -> tuple[Key, ...]:
        try:
            with self._path.open("rb") as file:
                content = file.read(_FILE_LIMIT_BYTES + 1)
            stored = msgspec.json.decode(content, type=_KeyFile)
        except OSError as problem:
            raise self._unreadable(str(problem)) from problem
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
            raise self._unreadable(f"it is damaged ({problem})") from problem
        if stored.version != 1:
            raise self._unreadable(f"it has version {stored.version}, and this Lar knows version 1")
        return stored.keys

    def _unreadable(self, cause: str) -> KeysUnreadable:
        return KeysUnreadable(
            f"The API keys in {self._path} cannot be read: {cause}. Nobody is let in until that is mended: "
            "restore the file from a backup, or move it away and create new keys with 'lar keys create'."
        )

    def _write(self, keys: tuple[Key, ...]) -> None:
        """Put the new content in place at once or not at all, readable by the owner only."""
        content = msgspec.json.format(msgspec.json.encode(_KeyFile(version=1, keys=keys)), indent=2)
        draft = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content + b"\n")
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        self._stamp, self._keys = self._look(), keys

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes from changing the file between our read and our write."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self._path.with_name(f"{self._path.name}.lock"), timeout=_LOCK_LIMIT_S, mode=0o600):
            yield


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
