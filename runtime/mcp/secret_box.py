"""Seals secrets that lie in the server's database, as `core.agents.ports.SecretBox`.

The key lies as that of the tokens does: in the system's keyring, else in a file of the owner's own. A sealed
word in the home tells whether the key is still the one that everything was sealed with: a keyring that is
locked, or has another key, is told, and never replaced by another key.
"""

from collections.abc import Callable
from pathlib import Path
from time import monotonic

import anyio
import anyio.to_thread
from cryptography.fernet import Fernet, InvalidToken

from runtime.core.errors import Fault, SecretsLocked
from runtime.core.writing import write_private
from runtime.mcp.vault import KeyPlace, VaultUnreadable

CHECK_FILE = "secrets.bin"
KEY_FILE = "secrets.key"
_MARK = "lar-sealed-1:"
_WORD = b"lar"
_KEYRING_LIMIT_S = 10.0
"""A keyring may ask a person to unlock it."""
_REMEMBERED_S = 5.0
"""For so long a failure is taken as lasting: a keyring is not asked for each of many calls."""
_WAY_OUT = "make the secrets of webhooks anew"


class HomeSecretBox:
    """Seals with the key of a home; asks for the key at the first use and keeps it."""

    def __init__(self, home: Path, monotonic_s: Callable[[], float] = monotonic) -> None:
        self._check = home / CHECK_FILE
        self._place = KeyPlace(self._check, home / KEY_FILE, _WAY_OUT)
        self._monotonic_s = monotonic_s
        self._lock = anyio.Lock()
        self._key: Fernet | None = None
        self._failed: SecretsLocked | None = None
        self._failed_at = 0.0

    async def seal(self, secret: str) -> str:
        """Return the secret so that only this home's key opens it. Raises SecretsLocked."""
        return _MARK + (await self._opened()).encrypt(secret.encode()).decode()

    async def open(self, stored: str) -> str:
        """Return the secret; what was never sealed comes as it is. Raises SecretsLocked."""
        if not self.is_sealed(stored):
            return stored
        key = await self._opened()
        try:
            return key.decrypt(stored.removeprefix(_MARK).encode()).decode()
        except InvalidToken as problem:
            raise _locked(
                f"A stored secret cannot be opened with the key of this home: {_WAY_OUT}."
            ) from problem

    def is_sealed(self, stored: str) -> bool:
        """Say whether it was sealed."""
        return stored.startswith(_MARK)

    async def _opened(self) -> Fernet:
        async with self._lock:
            if self._key is None:
                self._key = await self._load_bounded()
            return self._key

    async def _load_bounded(self) -> Fernet:
        if self._failed is not None and self._monotonic_s() - self._failed_at < _REMEMBERED_S:
            raise self._failed
        try:
            with anyio.fail_after(_KEYRING_LIMIT_S):
                return await anyio.to_thread.run_sync(self._load, abandon_on_cancel=True)
        except TimeoutError:
            told = f"The system's keyring did not answer within {_KEYRING_LIMIT_S:g} s. Unlock it."
            self._failed = _locked(told)
        except (VaultUnreadable, OSError) as problem:
            self._failed = _locked(str(problem))
        self._failed_at = self._monotonic_s()
        raise self._failed

    def _load(self) -> Fernet:
        """Return the key. Raises VaultUnreadable where it is another one, OSError."""
        key = Fernet(self._place.key())
        try:
            sealed = self._check.read_bytes()
        except FileNotFoundError:
            write_private(self._check, key.encrypt(_WORD).decode())
            return key
        try:
            key.decrypt(sealed)
        except InvalidToken as problem:
            raise VaultUnreadable(
                f"{self._check} cannot be opened: the key is another one. Put the former key back, or move "
                f"the file away and {_WAY_OUT}."
            ) from problem
        return key


def _locked(message: str) -> SecretsLocked:
    return SecretsLocked(Fault(code="secrets_locked", message=message, retry_after_s=_REMEMBERED_S))
