"""A database of the server that cannot be opened, and the ways back; nothing is made anew unasked."""

import json
import stat
from pathlib import Path
from typing import Any

import duckdb
import httpx2
import pytest

from tests.kit.server import RunningServer, lar, running_server

SCRIBE = {"name": "scribe", "model": "scripted"}


def run_scribe(server: RunningServer, text: str) -> str:
    answer = httpx2.post(
        f"{server.address}/api/agents/scribe/runs", json={"input": text, "wait_s": 20}, timeout=30
    )
    assert answer.json()["status"] == "completed", answer.text
    return str(answer.json()["id"])


def runs_of(server: RunningServer) -> set[str]:
    return {each["id"] for each in server.get("/api/runs").json()["runs"]}


def store_checks(home: Path) -> list[dict[str, Any]]:
    told = lar(home, "doctor", "--json")
    return [each for each in json.loads(told.stdout) if each["name"] == "store"]


def fill(home: Path) -> tuple[str, str]:
    """Make a run, a copy of the database, and another run; return both runs."""
    with running_server(home) as server:
        assert httpx2.post(f"{server.address}/api/agents", json=SCRIBE, timeout=10).status_code == 201
        first = run_scribe(server, "Say one.")
        taken = lar(home, "doctor", "--snapshot", "--json")
        assert taken.returncode == 0, taken.stderr
        second = run_scribe(server, "Say two.")
        (check,) = store_checks(home)
        assert check["verdict"] == "ok", check
        refused = lar(home, "doctor", "--restore", "latest", "--yes")
        assert (refused.returncode, "lar stop" in refused.stderr) == (1, True)
        assert server.stop() == 0
    return first, second


@pytest.mark.parametrize("harm", ["truncated", "flipped", "newer"])
def test_a_store_that_cannot_be_opened_is_told_and_a_copy_leads_back(tmp_path: Path, harm: str) -> None:
    home = tmp_path / "home"
    first, second = fill(home)
    database = home / "lar.duckdb"
    if harm == "newer":
        with duckdb.connect(str(database)) as connection:
            connection.execute("INSERT INTO migration VALUES (99, now())")
    else:
        content = bytearray(database.read_bytes())
        for position in range(20, len(content), 997):
            content[position] ^= 0xFF
        database.write_bytes(bytes(content[: 5000 if harm == "truncated" else len(content)]))
    damaged = database.read_bytes()

    refused = lar(home, "serve", "--scripted")
    (check,) = store_checks(home)

    assert refused.returncode == 3
    assert "Traceback" not in refused.stderr
    assert ("newer Lar" if harm == "newer" else "'lar doctor --restore latest'") in refused.stderr
    assert check["verdict"] == "fail"
    assert "lar doctor --restore" in check["fix"]
    assert database.read_bytes() == damaged
    restored = lar(home, "doctor", "--restore", "latest", "--yes", "--json")
    assert restored.returncode == 0, restored.stderr
    aside = Path(json.loads(restored.stdout)["aside"])
    assert aside.read_bytes() == damaged
    assert stat.S_IMODE(database.stat().st_mode) == 0o600
    with running_server(home) as server:
        assert runs_of(server) == {first}
        assert run_scribe(server, "Say three.") not in {first, second}


def test_a_store_is_begun_anew_only_where_a_person_says_so(tmp_path: Path) -> None:
    home = tmp_path / "home"
    fill(home)
    database = home / "lar.duckdb"
    database.write_bytes(database.read_bytes()[:100])

    assert lar(home, "doctor", "--set-aside").returncode == 2, "nobody could be asked"
    assert database.exists()
    done = lar(home, "doctor", "--set-aside", "--yes", "--json")

    assert done.returncode == 0, done.stderr
    assert Path(json.loads(done.stdout)["aside"]).stat().st_size == 100
    with running_server(home) as server:
        assert runs_of(server) == set()
        run_scribe(server, "Say one.")


def test_what_does_not_fit_together_is_mended_by_the_running_server(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first, second = fill(home)
    with duckdb.connect(str(home / "lar.duckdb")) as connection:
        connection.execute("INSERT INTO run_step VALUES (4711, 0, '{}')")
        connection.execute("DELETE FROM run_step WHERE run = (SELECT key FROM run WHERE id = ?)", [second])
    (home / "lar.duckdb").chmod(0o600)

    closed = store_checks(home)
    with running_server(home) as server:
        mended = lar(home, "doctor", "--repair")
        assert httpx2.delete(f"{server.address}/api/runs/{second}", timeout=10).status_code < 300
        (left,) = store_checks(home)
        assert runs_of(server) == {first}

    assert {each["verdict"] for each in closed} == {"fail", "warn"}
    assert any(second in each["finding"] for each in closed)
    assert mended.returncode == 1, "a lost step is not made up"
    assert "✔ steps:" in mended.stdout
    assert "✖ runs:" in mended.stdout
    assert left["verdict"] == "ok", left


def test_no_secret_of_a_webhook_lies_open_in_the_home(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "lar.toml").write_text('[recall]\nprivate_addresses = ["127.0.0.1"]\n')
    bell = {"name": "bell", "model": "scripted", "triggers": [{"webhook": "door"}]}
    endpoint = {"name": "x", "url": "http://127.0.0.1:9/hook", "event_types": ["batch.failed"]}
    with running_server(home) as server:
        assert httpx2.post(f"{server.address}/api/agents", json=bell, timeout=10).status_code == 201
        (shown,) = server.get("/api/agents/bell/triggers").json()["triggers"]
        made = httpx2.post(f"{server.address}/v1/webhook_endpoints", json=endpoint, timeout=10)
        assert made.is_success, made.text
        rotated = httpx2.post(f"{server.address}/api/agents/bell/hooks/door/secret", timeout=10).json()
        assert server.stop() == 0
    with duckdb.connect(str(home / "lar.duckdb")) as connection:
        row = connection.execute("UPDATE record SET body = ? WHERE kind = 'hook'", [b"whsec_b3Blbg=="])
        assert row.fetchone() == (1,)

    with running_server(home) as server:  # an earlier Lar has kept it open: it is sealed at the start
        (again,) = server.get("/api/agents/bell/triggers").json()["triggers"]
        assert server.stop() == 0
    with duckdb.connect(str(home / "lar.duckdb"), read_only=True) as connection:
        bodies = [row[0] for row in connection.execute("SELECT body FROM record").fetchall()]

    assert "secret" not in again
    assert again["secret_hint"] == "whsec_…bg=="
    assert len(bodies) >= 2
    assert b"whsec_b3Blbg==" not in b"".join(bodies)
    content = (home / "lar.duckdb").read_bytes()
    for secret in (shown["secret"], rotated["secret"], made.json()["signing_secret"]):
        assert secret.encode() not in content
