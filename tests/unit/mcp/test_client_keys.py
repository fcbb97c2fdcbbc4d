"""Private keys of clients: which sign and how, and what is said of files that hold none."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from runtime.mcp.client_keys import KeyUnusable, read_client_key


def pem(key: Any, lock: KeySerializationEncryption | None = None) -> bytes:
    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock or NoEncryption()))


SIGNING: dict[str, Any] = {
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ES512": lambda: ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}
UNUSABLE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "no private key"),
    "a word": (b"hunter2", "no private key"),
    "a locked key": (
        pem(ec.generate_private_key(ec.SECP256R1()), BestAvailableEncryption(b"x")),
        "without a password",
    ),
    "a public key": (
        ec.generate_private_key(ec.SECP256R1())
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "no private key",
    ),
    "a curve that no server knows": (pem(ec.generate_private_key(ec.SECP256K1())), "neither RSA"),
    "a key that cannot sign": (pem(x25519.X25519PrivateKey.generate()), "neither RSA"),
    "an older kind": (pem(dsa.generate_private_key(1024)), "neither RSA"),
    "a disk": (b"x" * 100_000, "more than 65536 bytes"),
}


@pytest.mark.parametrize("algorithm", list(SIGNING))
def test_the_kind_of_a_key_says_how_it_signs(algorithm: str, tmp_path: Path) -> None:
    content = pem(SIGNING[algorithm]())
    (tmp_path / "own.pem").write_bytes(content)
    key = read_client_key(tmp_path, "own.pem")
    assert (key.pem.encode(), key.algorithm) == (content, algorithm)
    assert read_client_key(Path("/elsewhere"), str(tmp_path / "own.pem")) == key


@pytest.mark.parametrize("name", list(UNUSABLE))
def test_a_file_without_a_key_that_signs_is_named_and_not_shown(name: str, tmp_path: Path) -> None:
    content, told = UNUSABLE[name]
    (tmp_path / "own.pem").write_bytes(content)
    with pytest.raises(KeyUnusable, match=told) as problem:
        read_client_key(tmp_path, "own.pem")
    assert "own.pem" in str(problem.value)
    assert "hunter2" not in str(problem.value)


def test_a_folder_is_no_key(tmp_path: Path) -> None:
    with pytest.raises(KeyUnusable, match="Is a directory"):
        read_client_key(tmp_path, ".")
