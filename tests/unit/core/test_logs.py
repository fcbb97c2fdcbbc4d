"""Log lines are JSON with constant text, and read back for people."""

import json
import logging

from runtime.core.logs import JsonLines, tell_line


def record(**fields: object) -> logging.LogRecord:
    return logging.makeLogRecord(
        {"name": "runtime.app", "levelname": "INFO", "msg": "stopping", "created": 0.5, **fields}
    )


def test_a_line_holds_text_and_fields_apart() -> None:
    line = json.loads(JsonLines().format(record(signal="SIGINT", path="ä")))

    assert line == {
        "at": 0.5,
        "level": "info",
        "where": "runtime.app",
        "text": "stopping",
        "signal": "SIGINT",
        "path": "ä",
    }


def test_a_line_is_told_to_people() -> None:
    told = tell_line(JsonLines().format(record(signal="SIGINT")))

    assert told.endswith("info    runtime.app: stopping (signal=SIGINT)")


def test_a_line_that_is_no_json_is_shown_as_it_is() -> None:
    assert tell_line("Traceback …") == "Traceback …"
    assert tell_line("[1]") == "[1]"
