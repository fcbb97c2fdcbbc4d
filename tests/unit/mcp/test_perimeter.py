"""How remote servers are reached: by the address that was judged, with the certificate of the name."""

import datetime as dt
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from runtime.core.fetching import FetchFault
from runtime.mcp.perimeter import HostRefused, JudgedTransport, Named
from tests.kit.fake_fetcher import FakeFetcher

NAME = "server.test"
CHOSEN = Named({NAME}, "anywhere")


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a certificate for a name, signed by itself, and its key; return both files."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return files


class Papers(NamedTuple):
    """How a server proves who it is, and how a client that trusts it checks that."""

    own: ssl.SSLContext
    trust: ssl.SSLContext


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    file, key = certificate(tmp_path, NAME)
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(file, key)
    return Papers(own, ssl.create_default_context(cafile=str(file)))


@asynccontextmanager
async def serving(papers: Papers) -> AsyncIterator[int]:
    """Serve by TLS as `NAME`; yield the port."""

    async def tell_host(request: web.Request) -> web.Response:
        return web.Response(text=request.host)

    app = web.Application()
    app.router.add_get("/", tell_host)
    server = TestServer(app, host="127.0.0.1", scheme="https")
    await server.start_server(ssl=papers.own)
    try:
        assert server.port is not None
        yield server.port
    finally:
        await server.close()


def everywhere(address: str = "127.0.0.1") -> FakeFetcher:
    hosts = FakeFetcher()
    hosts.hosts = {NAME: (address,), "other.test": (address,)}
    return hosts


async def test_the_certificate_is_that_of_the_name_and_not_of_the_address(papers: Papers) -> None:
    async with (
        serving(papers) as port,
        httpx2.AsyncClient(transport=JudgedTransport(everywhere(), CHOSEN, papers.trust)) as client,
    ):
        assert (await client.get(f"https://{NAME}:{port}/")).text == f"{NAME}:{port}"

        with pytest.raises(httpx2.ConnectError, match=r"other\.test"):  # not over the connection that is open
            await client.get(f"https://other.test:{port}/")


async def test_what_may_not_be_reached_is_told_and_not_taken_for_a_silent_server(papers: Papers) -> None:
    hosts = FakeFetcher()
    hosts.hosts = {NAME: FetchFault(code="refused", message="it lies inside")}
    async with httpx2.AsyncClient(transport=JudgedTransport(hosts, CHOSEN, papers.trust)) as client:
        with pytest.raises(HostRefused, match="it lies inside"):
            await client.get(f"http://{NAME}/")
