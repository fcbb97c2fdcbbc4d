"""A single page of the web as a place: its one entry is named by the address that the person gave.

A page that redirects keeps its name; where it was found is told beside.
"""

from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

from runtime.core.fetching import Fetcher
from runtime.recall.sources.asking import Asker, Wanted, handing
from runtime.recall.sources.origin import Entry, Finished, Listed, Look, OriginFailed, Refused, Seen
from runtime.recall.sources.web import check_url


class PageOrigin:
    """Looks at one page."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher

    async def look(self, asked: Look, known: Mapping[str, Entry], folder: Path) -> AsyncGenerator[Seen, None]:
        """Yield what became of the page, asked for conditionally if it is known.

        Raises OriginFailed where it cannot be had, and where a page that was never had is not there: then
        its address is wrong.
        """
        url = check_url(asked.uri)
        yield Listed(entries=1)
        asker = Asker(self._fetcher, asked, folder)
        found = await asker.take(Wanted(key=asked.uri, url=str(url)), known.get(asked.uri))
        if isinstance(found, Refused):
            raise OriginFailed(found.fault)
        async with handing(found):
            yield found
        yield Finished()
