"""What is handed to an asker and may come back, but not be read or changed there: reasoning, summaries.

So is what is kept here of the servers of requests (`core.agents.loans`), with their logins.
Authenticated encryption (AES-SIV, RFC 5297) with a key of this home: the same text gives the same letters, so
a stream that is told again is the same, and so is a prompt. A text is bound to its kind and its tenant.
"""

import base64
import binascii
from pathlib import Path
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from runtime.api.errors import invalid
from runtime.core.agents.loans import SealBroken
from runtime.core.errors import Fault, StoreDamaged
from runtime.core.ids import TenantId
from runtime.core.writing import write_private

KEY_FILE = "responses.key"
SealedKind = Literal["reasoning", "compaction", "loan"]
_MARK = "lar1."
"""Of what was sealed here, and how."""
_KEY_BITS = 512
_TAG_BYTES = 16


class Sealer:
    """Seals and opens."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESSIV(key)

    def seal(self, kind: SealedKind, tenant: TenantId, text: str) -> str:
        """Return the text so that only this home can read it."""
        # An empty plaintext is not taken: one byte more costs nothing.
        sealed = self._cipher.encrypt(b"\0" + text.encode("utf-8", "surrogatepass"), _bound(kind, tenant))
        return _MARK + base64.urlsafe_b64encode(sealed).decode("ascii")

    def open(self, kind: SealedKind, tenant: TenantId, sealed: str, param: str) -> str:
        """Return what was sealed here. Raises Refused (400) for all else."""
        try:
            return self._opened(kind, tenant, sealed)
        except SealBroken as problem:
            message = (
                f"The encrypted content at '{param}' could not be verified: it was not made by this server "
                "for this account, or it was changed. Leave the item out."
            )
            raise invalid(message, param, code="invalid_encrypted_content") from problem

    def close(self, tenant: TenantId, text: str) -> str:
        """Return what is kept here and handed to nobody, as only this home can read it."""
        return self.seal("loan", tenant, text)

    def unseal(self, tenant: TenantId, sealed: str) -> str:
        """Return what `close` was given. Raises SealBroken."""
        return self._opened("loan", tenant, sealed)

    def _opened(self, kind: SealedKind, tenant: TenantId, sealed: str) -> str:
        try:
            content = base64.b64decode(sealed.removeprefix(_MARK).encode(), altchars=b"-_", validate=True)
            if not sealed.startswith(_MARK) or len(content) <= _TAG_BYTES:
                raise ValueError("it is not sealed by us")
            opened = self._cipher.decrypt(content, _bound(kind, tenant))
            return opened[1:].decode("utf-8", "surrogatepass")
        except (InvalidTag, binascii.Error, ValueError) as problem:
            raise SealBroken(str(problem)) from problem


def load_sealer(home: Path) -> Sealer:
    """Return the sealer of a home; makes its key where there is none.

    Blocks; raises OSError, StoreDamaged.
    """
    path = home / KEY_FILE
    try:
        return Sealer(path.read_bytes())
    except FileNotFoundError:
        key = AESSIV.generate_key(_KEY_BITS)
        write_private(path, key)
        return Sealer(key)
    except ValueError as problem:
        message = f"{path} is no key. Remove it: what was sealed with the former one cannot be opened then."
        raise StoreDamaged(Fault(code="store_damaged", message=message)) from problem


def _bound(kind: SealedKind, tenant: TenantId) -> list[bytes]:
    return [kind.encode(), tenant.encode()]
