"""What is kept of a server's stderr as its last words."""

from pathlib import Path

from runtime.mcp.stderr_log import StderrLog


def test_the_last_three_lines_are_quoted(tmp_path: Path) -> None:
    log = StderrLog(tmp_path / "x.log")
    log.write(b"one\ntwo\n\nthree\nfour\n")
    assert log.last_words == "two · three · four"


def test_what_each_start_says_anew_is_quoted_once(tmp_path: Path) -> None:
    log = StderrLog(tmp_path / "x.log")
    for _ in range(3):
        log.write(b"starting\nno such file\n")
    assert log.last_words == "starting · no such file"
