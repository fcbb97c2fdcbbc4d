"""The door of the console for the command: runs it until the person leaves."""

from tui.app import LarApp
from tui.late import LateSource
from tui.theme import DARK


def run_console(base_url: str, key: str | None, model: str, theme: str = DARK) -> int:
    """Run the console of the server at a URL; return the exit status.

    The server must run already; when it goes away, the console waits for it. An empty model means the
    server's default one.
    """
    app = LarApp(LateSource(base_url, key), model, theme=theme)
    status = app.run()
    return status if status is not None else app.return_code or 0
