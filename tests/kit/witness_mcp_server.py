"""An MCP server over stdio that leaves a mark in a file for each call: `witness_mcp_server.py FILE`.

It takes its time before and after the mark, so that a kill falls on either side of it.
"""

import json
import os
import random
import sys
import threading
import time

LOCK = threading.Lock()
TOOL = {
    "name": "mark",
    "description": "Leaves a mark.",
    "inputSchema": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
}


def send(message: dict) -> None:  # type: ignore[type-arg]  # a plain script
    with LOCK:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def mark(identity: object, word: str) -> None:
    time.sleep(random.uniform(0.0, 0.05))
    with LOCK:
        file = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, f"{word}\n".encode())
        os.close(file)
    time.sleep(random.uniform(0.0, 0.05))
    send({"id": identity, "result": {"content": [{"type": "text", "text": f"marked {word}"}]}})


for line in sys.stdin:
    asked = json.loads(line)
    match asked.get("method"):
        case "initialize":
            told = {
                "protocolVersion": asked["params"]["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "witness", "version": "1"},
            }
            send({"id": asked["id"], "result": told})
        case "tools/list":
            send({"id": asked["id"], "result": {"tools": [TOOL]}})
        case "tools/call":
            given = (asked["id"], asked["params"]["arguments"]["word"])
            threading.Thread(target=mark, args=given, daemon=True).start()
        case "ping":
            send({"id": asked["id"], "result": {}})
        case _:
            if "id" in asked:
                send({"id": asked["id"], "error": {"code": -32601, "message": "unknown"}})
