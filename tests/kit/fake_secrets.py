"""A box for secrets without a keyring, which a test can lock."""

import base64

from runtime.core.errors import Fault, SecretsLocked

_MARK = "sealed:"


class FakeSecretBox:
    """Seals by turning secrets into other letters, as `core.agents.ports.SecretBox`."""

    def __init__(self) -> None:
        self.is_locked = False

    async def seal(self, secret: str) -> str:
        self._check()
        return _MARK + base64.b64encode(secret.encode()).decode()

    async def open(self, stored: str) -> str:
        if not self.is_sealed(stored):
            return stored
        self._check()
        return base64.b64decode(stored.removeprefix(_MARK)).decode()

    def is_sealed(self, stored: str) -> bool:
        return stored.startswith(_MARK)

    def _check(self) -> None:
        if self.is_locked:
            raise SecretsLocked(Fault(code="secrets_locked", message="The keyring is locked. Unlock it."))
