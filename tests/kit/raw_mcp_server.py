"""An MCP server over stdio without any library: small, quick to start, and it misbehaves on demand.

It speaks the older era. Options are NAME=VALUE arguments: `tools=a.json` (a list of definitions to offer
beside its own), `state=folder` (where it notes what it has seen), `refuse=connect` (never answers).
"""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

OPTIONS = dict(each.split("=", 1) for each in sys.argv[1:])
LOCK = threading.Lock()
CANCELLED: set[object] = set()


def send(message: dict) -> None:  # type: ignore[type-arg]  # a plain script
    with LOCK:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def note(word: str) -> None:
    if "state" in OPTIONS:
        with (Path(OPTIONS["state"]) / "seen.txt").open("a") as file:
            file.write(word + "\n")


def text(value: str) -> dict:  # type: ignore[type-arg]
    return {"content": [{"type": "text", "text": value}]}


def tools() -> list:  # type: ignore[type-arg]
    names = (
        "echo",
        "slow",
        "crash",
        "hang",
        "flood",
        "progress",
        "spawn",
        "noise",
        "environment",
        "touch",
        "interfaces",
    )
    schema = {"type": "object", "properties": {"text": {"type": "string"}, "count": {"type": "integer"}}}
    own = [{"name": each, "description": f"Does {each}.", "inputSchema": schema} for each in names]
    own[0]["annotations"] = {"readOnlyHint": True, "idempotentHint": True}
    if "tools" in OPTIONS:
        own += json.loads(Path(OPTIONS["tools"]).read_text())
    return own


def call(identity: object, name: str, given: dict, token: object) -> None:  # type: ignore[type-arg]  # noqa: C901 - one branch for each tool
    if name == "crash":
        note("crash")
        os._exit(3)
    if name == "hang":
        note("hang")
        while identity not in CANCELLED:
            time.sleep(0.01)
        note("cancelled")
        return
    if name == "slow":
        time.sleep(float(given.get("count", 1)) / 1000)
        answer = text("slept")
    elif name == "flood":
        answer = text("x" * given["count"])
    elif name == "progress":
        for step in range(given["count"]):
            send(
                {
                    "method": "notifications/progress",
                    "params": {
                        "progressToken": token,
                        "progress": step,
                        "total": given["count"],
                        "message": "step",
                    },
                }
            )
        answer = text("done")
    elif name == "spawn":
        child = subprocess.Popen(["sleep", "600"], start_new_session=True)
        answer = text(str(child.pid))
    elif name == "noise":
        sys.stderr.write("n" * given["count"] + "\n")
        sys.stderr.flush()
        sys.stdout.write("a print that is no protocol\n")
        answer = text("made noise")
    elif name == "environment":
        answer = text(json.dumps(dict(os.environ)))
    elif name == "interfaces":
        lines = Path("/proc/net/dev").read_text().splitlines()[2:]
        answer = text(json.dumps([line.split(":")[0].strip() for line in lines]))
    elif name == "touch":
        try:
            Path(given["text"]).write_text("touched")
            answer = text("written")
        except OSError as problem:
            answer = {**text(str(problem)), "isError": True}
    else:
        note(f"echo {given.get('text', '')}")
        answer = text(given.get("text", ""))
    send({"id": identity, "result": answer})


def answer(message: dict) -> None:  # type: ignore[type-arg]
    method, identity, params = message.get("method"), message.get("id"), message.get("params", {})
    if method == "initialize":
        result: object = {
            "protocolVersion": params["protocolVersion"],
            "capabilities": {"tools": {"listChanged": True}},
            "serverInfo": {"name": "raw", "version": "1"},
        }
    elif method == "tools/list":
        every = tools()
        start = int(params.get("cursor", 0))
        following = {"nextCursor": str(start + 4)} if start + 4 < len(every) else {}
        result = {"tools": every[start : start + 4], **following}
    elif method == "tools/call":
        token = params.get("_meta", {}).get("progressToken")
        given = (identity, params["name"], params.get("arguments", {}), token)
        threading.Thread(target=call, args=given, daemon=True).start()
        return
    elif method == "notifications/cancelled":
        CANCELLED.add(params["requestId"])
        return
    elif identity is None:
        return
    else:
        send({"id": identity, "error": {"code": -32601, "message": "no such method"}})
        return
    send({"id": identity, "result": result})


def watch_tools() -> None:
    """Tell the client when the file of tools has changed."""
    last = Path(OPTIONS["tools"]).stat().st_mtime_ns
    while True:
        time.sleep(0.02)
        now = Path(OPTIONS["tools"]).stat().st_mtime_ns
        if now != last:
            last = now
            send({"method": "notifications/tools/list_changed"})


if OPTIONS.get("refuse") == "connect":
    time.sleep(600)
if OPTIONS.get("refuse") == "die":
    sys.exit("cannot find my settings")
note(f"start {os.getpid()}")
if "tools" in OPTIONS:
    threading.Thread(target=watch_tools, daemon=True).start()
for line in sys.stdin:
    answer(json.loads(line))
