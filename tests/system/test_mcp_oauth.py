"""OAuth against a real authorization server: a person's login, credentials of Lar's own, and kept tokens."""

import contextlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from runtime.core.errors import Conflict, NotFound
from runtime.core.settings import McpOAuth, McpServer
from runtime.mcp.vault import Kept, Vault, VaultUnreadable
from tests.kit.hub_stage import HubStage, open_stage
from tests.kit.link_stage import raw_server, until

SCRIPT = str(Path(__file__).parents[1] / "kit" / "oauth_mcp_server.py")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the robot's key, its public half, and the key of somebody else (`other.pem`)."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("robot", "other"):
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / f"{name}.pem").write_bytes(pem)
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (folder / f"{name}.pub").write_bytes(public)
    return folder


@pytest.fixture(scope="module")
def address(keys: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, SCRIPT, str(port), str(keys / "robot.pub")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(10)


async def visit(stage: HubStage, url: str) -> str:
    """Do what the person's browser does: go there, log in, come back."""
    async with httpx2.AsyncClient(verify=False) as browser:
        answer = await browser.get(url)
    assert answer.status_code == 302, answer.text
    back = urlsplit(answer.headers["location"])
    assert back.path == "/api/mcp/callback"
    query = {name: values[0] for name, values in parse_qs(back.query).items()}
    return stage.hub.finish_login(query["state"], query["code"], query["iss"])


def is_ready(stage: HubStage) -> bool:
    return stage.hub.servers()[0].status == "ready"


async def test_a_person_logs_in_once_and_the_token_outlives_the_server(address: str, tmp_path: Path) -> None:
    servers = {"far": McpServer(url=f"{address}/mcp", trust=True)}
    async with open_stage(tmp_path, servers) as stage:
        refused = await stage.hub.test("far")
        assert "401" in refused.fault

        url = await stage.hub.login("far")
        assert "code_challenge_method=S256" in url
        with pytest.raises(NotFound):
            stage.hub.finish_login("another state", "code", None)
        assert await visit(stage, url) == "far"
        await until(lambda: is_ready(stage))
        assert await stage.say("mcp__far__echo", text="in") == "in"

    async with open_stage(tmp_path, servers) as stage:
        assert await stage.say("mcp__far__echo", text="still in") == "still in"

    sealed = (tmp_path / "mcp-tokens.bin").read_text()
    assert "access_token" not in sealed
    assert {(tmp_path / each).stat().st_mode & 0o777 for each in ("mcp-tokens.bin", "mcp-tokens.key")} == {
        0o600
    }


async def test_credentials_of_lars_own_need_nobody(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROBOT_SECRET", "robot-secret")
    oauth = McpOAuth(
        grant="client_credentials", client_id="robot", client_secret="${ROBOT_SECRET}", issuer=f"{address}/"
    )
    async with open_stage(
        tmp_path, {"far": McpServer(url=f"{address}/mcp", trust=True, oauth=oauth)}
    ) as stage:
        assert await stage.say("mcp__far__echo", text="in") == "in"


async def test_wrong_credentials_are_told(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROBOT_SECRET", "guessed")
    oauth = McpOAuth(
        grant="client_credentials", client_id="robot", client_secret="${ROBOT_SECRET}", issuer=f"{address}/"
    )
    async with open_stage(tmp_path, {"far": McpServer(url=f"{address}/mcp", oauth=oauth)}) as stage:
        status = await stage.hub.test("far")
    assert "invalid_grant" in status.fault
    assert "guessed" not in status.fault


@pytest.mark.parametrize("name", ["robot.pem", "other.pem"])
async def test_a_key_of_lars_own_signs_in_place_of_a_secret(
    address: str, keys: Path, tmp_path: Path, name: str
) -> None:
    shutil.copy(keys / name, tmp_path / "own.pem")
    oauth = McpOAuth(
        grant="client_credentials", client_id="robot", private_key_file="own.pem", issuer=f"{address}/"
    )
    server = McpServer(url=f"{address}/mcp", trust=True, oauth=oauth)
    async with open_stage(tmp_path, {"far": server}) as stage:
        if name == "robot.pem":
            assert await stage.say("mcp__far__echo", text="in") == "in"
        else:
            assert "invalid_grant" in (await stage.hub.test("far")).fault


async def test_a_key_that_cannot_sign_is_told_with_its_field(address: str, tmp_path: Path) -> None:
    oauth = McpOAuth(
        grant="client_credentials", client_id="robot", private_key_file="none.pem", issuer=f"{address}/"
    )
    async with open_stage(tmp_path, {"far": McpServer(url=f"{address}/mcp", oauth=oauth)}) as stage:
        fault = (await stage.hub.test("far")).fault
    assert "oauth.privateKeyFile" in fault
    assert "none.pem' cannot be read (No such file or directory)" in fault


async def test_a_local_server_has_no_login(tmp_path: Path) -> None:
    async with open_stage(tmp_path, {"raw": raw_server()}) as stage:
        with pytest.raises(Conflict):
            await stage.hub.login("raw")


def test_tokens_belong_to_one_address_and_need_their_key(tmp_path: Path) -> None:
    vault = Vault(tmp_path)
    vault.keep("s", Kept(url="https://a.example", tokens="t"))

    assert Vault(tmp_path).find("s", "https://a.example").tokens == "t"
    assert vault.find("s", "https://evil.example").tokens is None
    (tmp_path / "mcp-tokens.key").unlink()
    with pytest.raises(VaultUnreadable, match="log in again"):
        Vault(tmp_path).find("s", "https://a.example")
