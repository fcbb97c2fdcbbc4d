"""Private keys with which Lar shows who it is to an authorization server (`private_key_jwt`, RFC 7523)."""

from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

_MOST_BYTES = 64 * 1024
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


class KeyUnusable(Exception):
    """There is no private key that can sign; the message says why, and never what the file holds."""


class ClientKey(NamedTuple):
    """A private key, and how it signs."""

    pem: str
    algorithm: str
    """Of JOSE (RFC 7518, RFC 8037): that which goes with the kind of the key."""


def read_client_key(home: Path, told: str) -> ClientKey:
    """Read a key in PEM without a password; a relative path starts at the home. Touches the disk.

    Raises KeyUnusable.
    """
    path = home / Path(told).expanduser()
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as problem:
        raise KeyUnusable(f"'{path}' cannot be read ({problem.strerror or problem})") from problem
    if len(content) > _MOST_BYTES:
        raise KeyUnusable(f"'{path}' is no key: it has more than {_MOST_BYTES} bytes")

    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as problem:
        raise KeyUnusable(f"'{path}' holds no private key in PEM without a password") from problem
    return ClientKey(content.decode("ascii", "replace"), _algorithm(key, path))


def _algorithm(key: object, path: Path) -> str:
    match key:
        case RSAPrivateKey():
            return "RS256"
        case EllipticCurvePrivateKey() if key.curve.name in _CURVES:
            return _CURVES[key.curve.name]
        case Ed25519PrivateKey():
            return "EdDSA"
        case _:
            raise KeyUnusable(
                f"'{path}' holds a key that is neither RSA, nor P-256, P-384, P-521, nor Ed25519"
            )
