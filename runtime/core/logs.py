"""The operator's log: one JSON object per line in a rotated file; the text is constant, values are fields.

No prompt, token or secret is logged above debug; whoever logs keeps to that.
"""

import json
import logging
import logging.handlers
import time
from pathlib import Path
from typing import Any

from runtime.core.settings import LogSettings

LOG_FILE = "server.log"

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON: at, level, where, text, fields, problem."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "at": round(record.created, 3),
            "level": record.levelname.lower(),
            "where": record.name,
            "text": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["problem"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def open_log(folder: Path, settings: LogSettings) -> Path:
    """Send the log of this process to a file in `folder`; returns the file. Called once, by the server."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOG_FILE
    handler = logging.handlers.RotatingFileHandler(
        path, maxBytes=settings.max_bytes, backupCount=settings.keep_files, encoding="utf-8", delay=True
    )
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.level.upper())
    # Bytes that are no HTTP are answered with 400 below our code, which would log a traceback for each.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    logging.captureWarnings(capture=True)
    logging.raiseExceptions = False  # a full disk must not print tracebacks on the terminal
    return path


def tell_line(line: str) -> str:
    """Return a line of the log as people read it; a line that is no JSON comes back as it is."""
    try:
        fields = json.loads(line)
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(fields.pop("at")))
        level, where, text = fields.pop("level"), fields.pop("where"), fields.pop("text")
    except (ValueError, KeyError, TypeError, AttributeError):
        return line

    problem = fields.pop("problem", None)
    rest = " ".join(f"{name}={value}" for name, value in fields.items())
    told = f"{stamp} {level:7} {where}: {text}" + (f" ({rest})" if rest else "")
    return told if problem is None else f"{told}\n{problem}"
