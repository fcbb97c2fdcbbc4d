"""The pages that a sitemap lists as a place: their addresses name the entries, redirected or not.

A page is had again where its `lastmod` has changed; where there is none that can be trusted (`stamps.py`),
it is asked for conditionally. What is listed no more is gone, but only when the whole sitemap could be read.
"""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import anyio.to_thread
from yarl import URL

from runtime.core.clock import Clock, SystemClock
from runtime.core.fetching import Fetcher
from runtime.core.knowledge import DocumentFault
from runtime.recall.sources.asking import Asker, Wanted, handing
from runtime.recall.sources.listing_walk import Walked, walk
from runtime.recall.sources.origin import (
    Changed,
    Entry,
    Finished,
    Gone,
    Listed,
    Look,
    OriginFailed,
    Same,
    Seen,
)
from runtime.recall.sources.stamps import settled
from runtime.recall.sources.web import Globs, check_url, leave, read_url, site_of


@dataclass(slots=True)
class _Plan:
    """Which pages are looked at."""

    pages: dict[str, str] = field(default_factory=dict)
    """Address to lastmod."""
    listed: set[str] = field(default_factory=set)
    """Also those beyond the cap."""
    elsewhere: int = 0


class SitemapOrigin:
    """Looks at the pages of a sitemap, one after the other."""

    def __init__(self, fetcher: Fetcher, clock: Clock | None = None) -> None:
        self._fetcher = fetcher
        self._clock = clock or SystemClock()

    async def look(self, asked: Look, known: Mapping[str, Entry], folder: Path) -> AsyncGenerator[Seen, None]:
        """Yield what became of each listed page of the sitemap's own site, then what is listed no more.

        Raises OriginFailed where the sitemap cannot be read or lists nothing, and where the host wants no
        more to be asked.
        """
        root = check_url(asked.uri)
        asker = Asker(self._fetcher, asked, folder)
        walked = await walk(asker, asked, known, root)
        plan = await anyio.to_thread.run_sync(_plan, walked, asked, known, root)
        yield Listed(entries=len(plan.pages))
        had, missed = set[str](), 0
        for key, lastmod in plan.pages.items():
            entry = known.get(key)
            if entry is not None and entry.document is not None and lastmod and lastmod == entry.stamp:
                found: Seen = Same(key=key)
            else:
                stamp = settled(lastmod, self._clock.now())
                found = await asker.take(Wanted(key=key, url=key, uri=key, stamp=stamp), entry)
            if isinstance(found, (Same, Changed)):
                had.add(key)
            else:
                missed += 1
            async with handing(found):
                yield found
        unlisted = [key for key in known if key not in plan.listed] if walked.is_whole else []
        for key in unlisted:
            yield Gone(key=key, is_certain=False)
        is_clean = walked.is_whole and not (missed or unlisted or len(plan.listed) > len(plan.pages))
        yield Finished(
            state=leave(asked, known, had, walked.marks) if is_clean else "",
            notes=_notes(walked, plan, asked),
        )


def _plan(walked: Walked, asked: Look, known: Mapping[str, Entry], root: URL) -> _Plan:
    """Choose the pages: known ones first where not all have room, the others as they are listed.

    So the pages that are followed stay the same ones while a sitemap beyond the cap grows at its beginning.
    """
    if walked.is_unchanged:
        pages = {key: entry.stamp for key, entry in known.items()}
        return _Plan(pages=pages, listed=set(pages))
    globs, plan = Globs(asked.include, asked.exclude), _Plan()
    sites = {site_of(root), *(site_of(url) for url in map(read_url, walked.found_at) if url)}
    listed: dict[str, str] = {}
    for text, lastmod in walked.places:
        url = read_url(text)
        if url is None or site_of(url) not in sites:
            plan.elsewhere += 1
        elif globs.takes(str(url)):
            listed.setdefault(str(url), lastmod)
    if plan.elsewhere and plan.elsewhere == len(walked.places):
        raise OriginFailed(
            DocumentFault(
                code="empty",
                message=f"the sitemap lists {plan.elsewhere} addresses, none of them at {root.host}; give the"
                " sitemap of the site itself",
            )
        )
    room = asked.most_entries - sum(1 for key in listed if key in known)
    for key, lastmod in listed.items():
        if len(plan.pages) >= asked.most_entries:
            break
        if key in known or room > 0:
            room -= key not in known
            plan.pages[key] = lastmod
    plan.listed = set(listed)
    return plan


def _notes(walked: Walked, plan: _Plan, asked: Look) -> tuple[str, ...]:
    """Say what a person should know."""
    notes = list(walked.notes)
    left_out = len(plan.listed) - len(plan.pages)
    if left_out:
        notes.append(
            f"{left_out} pages beyond the first {asked.most_entries} were left out; choose with include and"
            " exclude, or allow more entries"
        )
    if plan.elsewhere:
        notes.append(f"{plan.elsewhere} addresses that are not of this site were left out")
    return tuple(notes)
