"""An MCP server over stdio that shows the files of one folder: `folder_mcp_server.py FOLDER`."""

import sys
from pathlib import Path

from mcp.server import MCPServer

server = MCPServer("folder", version="1")
FOLDER = Path(sys.argv[1]).resolve()


@server.tool()
def list_directory(path: str = ".") -> str:
    "List the files of a folder."
    return "\n".join(sorted(each.name for each in _inside(path).iterdir()))


@server.tool()
def read_text_file(path: str) -> str:
    "Read what a file says."
    return _inside(path).read_text(encoding="utf-8")


def _inside(path: str) -> Path:
    found = (FOLDER / path).resolve()
    if not found.is_relative_to(FOLDER):
        raise ValueError(f"{path} lies outside of the folder")
    return found


if __name__ == "__main__":
    server.run("stdio")
