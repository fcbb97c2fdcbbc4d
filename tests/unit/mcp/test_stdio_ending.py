"""How the end of a local server is put into words."""

import pytest

from runtime.mcp.stdio import ServerEnded, ending


@pytest.mark.parametrize(
    ("code", "how"),
    [
        (0, "its program ended with exit code 0"),
        (3, "its program ended with exit code 3"),
        (-9, "its program was killed by SIGKILL"),
        (137, "its program was killed by SIGKILL"),
        (255, "its program ended with exit code 255"),
        (None, "its program has closed its output"),
    ],
)
def test_an_end_is_told_by_code_or_signal(code: int | None, how: str) -> None:
    assert ending(code, has_spoken=True) == how
    assert ending(code, has_spoken=False).startswith(
        f"{how} before it spoke MCP (run its command in a terminal"
    )


def test_the_last_words_follow_where_there_are_some() -> None:
    assert str(ServerEnded("it ended", "no such module")) == "it ended; it said: no such module"
    assert str(ServerEnded("it ended", "")) == "it ended"
