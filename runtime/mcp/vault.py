"""Tokens of remote servers in an encrypted file; its key lies in the system's keyring, else beside it.

The keyring is used where the package `keyring` is installed and has a backend; one that is locked is told and
never replaced by another key while there are tokens. A key file of the owner's own protects the tokens in
copies and backups that lack it, not from whoever reads the whole home. Methods block.
"""

import importlib
import threading
from pathlib import Path
from typing import Any

import msgspec
from cryptography.fernet import Fernet, InvalidToken

from runtime.core.writing import write_private

TOKENS_FILE = "mcp-tokens.bin"
KEY_FILE = "mcp-tokens.key"
_SERVICE = "lar mcp tokens"


class VaultUnreadable(Exception):
    """The tokens cannot be decrypted; the message says so, and the way out."""


class Kept(msgspec.Struct, kw_only=True):
    """What is kept of one server, as JSON texts of the SDK."""

    url: str = ""
    """Tokens are for this address alone."""
    tokens: str | None = None
    client: str | None = None


class KeyPlace:
    """Where the key of a sealed file lies: in the system's keyring, else in a file beside it."""

    def __init__(self, sealed: Path, key_file: Path, way_out: str) -> None:
        self._sealed = sealed
        self._key_path = key_file
        self._way_out = way_out

    def key(self) -> bytes:
        """Return the key; makes one where there is none. Raises OSError, VaultUnreadable."""
        keyring = None if self._key_path.exists() else _keyring()
        if keyring is not None:
            try:
                return _key_in(keyring, str(self._sealed))
            except Exception as problem:
                if self._sealed.exists():
                    message = (
                        f"The system's keyring has the key of {self._sealed} and does not answer: {problem}. "
                        f"Unlock it, or move the file away and {self._way_out}."
                    )
                    raise VaultUnreadable(message) from problem
        if not self._key_path.exists():
            write_private(self._key_path, Fernet.generate_key().decode())
        return self._key_path.read_bytes()


class Vault:
    """The kept tokens."""

    def __init__(self, home: Path) -> None:
        self.home = home
        """Where relative paths of definitions begin."""
        self._path = home / TOKENS_FILE
        self._place = KeyPlace(self._path, home / KEY_FILE, "log in again")
        self._lock = threading.Lock()

    def find(self, server: str, url: str) -> Kept:
        """Return what is kept; nothing where the server has another address now. Raises VaultUnreadable."""
        with self._lock:
            kept = self._load().get(server, Kept())
        return kept if kept.url == url else Kept(url=url)

    def keep(self, server: str, kept: Kept) -> None:
        """Keep it. Raises OSError, VaultUnreadable."""
        with self._lock:
            self._write({**self._load(), server: kept})

    def forget(self, server: str) -> None:
        """Drop what is kept of a server. Raises OSError, VaultUnreadable."""
        with self._lock:
            entries = self._load()
            if entries.pop(server, None) is not None:
                self._write(entries)

    def _load(self) -> dict[str, Kept]:
        try:
            sealed = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        try:
            return msgspec.json.decode(Fernet(self._place.key()).decrypt(sealed), type=dict[str, Kept])
        except (InvalidToken, ValueError, msgspec.DecodeError) as problem:
            raise VaultUnreadable(
                f"{self._path} cannot be decrypted: its key is another one. Move it away and log in again."
            ) from problem

    def _write(self, entries: dict[str, Kept]) -> None:
        sealed = Fernet(self._place.key()).encrypt(msgspec.json.encode(entries))
        write_private(self._path, sealed.decode("ascii"))


def _key_in(keyring: Any, account: str) -> bytes:
    told = keyring.get_password(_SERVICE, account)
    if told is None:
        told = Fernet.generate_key().decode()
        keyring.set_password(_SERVICE, account, told)
    return str(told).encode()


def _keyring() -> Any:
    """Return the keyring's module where it is installed and has a backend that keeps something; else None."""
    try:
        keyring = importlib.import_module("keyring")
    except ImportError:
        return None
    return keyring if getattr(keyring.get_keyring(), "priority", 0) > 0 else None
