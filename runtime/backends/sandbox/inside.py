"""What runs inside a sandbox: an interpreter that keeps its variables, asked by frames over its first pipes.

A frame is four bytes of length and JSON: {"code": …} in, {"is_error": …} out. What programs print goes to a
file that those outside read. Only the standard library is used, and nothing of Lar is there.
"""

import ast
import json
import os
import resource
import struct
import sys
import traceback
from typing import Any

LOG = "/io/log"
_FILE_BYTES = 64 * 1024 * 1024
_OPEN_FILES = 256
_PROCESSES = 64
_NAME = "<program>"


def main() -> None:
    """Answer frames until the pipe ends."""
    memory_bytes = int(sys.argv[1])
    asked, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    _redirect()
    _limit(memory_bytes)
    known: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}
    while (code := _read(asked)) is not None:
        os.truncate(LOG, 0)
        is_error = _run(code, known)
        body = json.dumps({"is_error": is_error}).encode()
        answers.write(struct.pack(">I", len(body)) + body)
        answers.flush()


def _redirect() -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o600)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="backslashreplace", buffering=1)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1)


def _limit(memory_bytes: int) -> None:
    limits = (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, _FILE_BYTES),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_NPROC, _PROCESSES),
        (resource.RLIMIT_CORE, 0),
    )
    for kind, most in limits:
        _, hard = resource.getrlimit(kind)
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (least, least))


def _read(asked: Any) -> str | None:
    head = asked.read(4)
    if len(head) < 4:
        return None
    body = json.loads(asked.read(struct.unpack(">I", head)[0]))
    return str(body["code"])


def _run(code: str, known: dict[str, Any]) -> bool:
    """Run a program; like a notebook, show what its last line is worth. Return whether it failed."""
    try:
        tree = ast.parse(code, _NAME)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, _NAME, "exec"), known)  # noqa: S102 - this is what the sandbox is for
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), _NAME, "eval"), known)  # noqa: S307 - likewise
            if value is not None:
                sys.stdout.write(f"{value!r}\n")
    except SystemExit as ending:
        return bool(ending.code)
    except BaseException as problem:  # noqa: BLE001 - the border of the program that somebody wrote
        trace = problem.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename != _NAME:
            trace = trace.tb_next
        traceback.print_exception(type(problem), problem, trace)
        return True
    finally:
        _flush()
    return False


def _flush() -> None:
    for each in (sys.stdout, sys.stderr):
        try:
            each.flush()
        except (OSError, ValueError):
            continue  # the program has closed it, or the log is full


if __name__ == "__main__":
    main()
