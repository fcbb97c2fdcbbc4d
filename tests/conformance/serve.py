"""A process that serves the fixture through Lar's own doors and HTTP edge, until stdin ends.

It prints its address once it answers. Keys: none, as on a loopback where nobody made any.
"""

import logging
import sys
import tempfile
import warnings
from pathlib import Path

import anyio
import anyio.to_thread

from runtime.core.settings import ServerSettings
from runtime.mcp.doors import open_doors
from tests.conformance.fixture import Events, fixture_server
from tests.kit.http_stage import open_stage

_RETRY_MS = 500


async def serve(folder: Path) -> None:
    """Serve until stdin ends."""
    settings = ServerSettings(port=0)
    async with (
        open_doors(
            fixture_server(),
            has_sse=True,
            max_body_bytes=settings.max_body_bytes,
            events=Events(),
            retry_interval_ms=_RETRY_MS,
        ) as doors,
        open_stage(folder, settings=settings, mcp=doors) as stage,
    ):
        sys.stdout.write(f"{stage.address}\n")
        sys.stdout.flush()
        await anyio.to_thread.run_sync(sys.stdin.read)


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # the fixture serves what the newer era deprecates: that is its purpose
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    with tempfile.TemporaryDirectory() as place:
        anyio.run(serve, Path(place))
