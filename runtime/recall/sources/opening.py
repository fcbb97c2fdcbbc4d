"""Builds sources over ingestion: one origin for each kind of place."""

import os
from pathlib import Path

from runtime.core.fetching import Fetcher
from runtime.core.knowledge import SourceKind
from runtime.recall.ingest.ingestion import Ingestion
from runtime.recall.ingest.stores import Stores
from runtime.recall.sources.feed import FeedOrigin
from runtime.recall.sources.folder import FolderOrigin, watch_folder
from runtime.recall.sources.git import GitOrigin
from runtime.recall.sources.origin import Origin
from runtime.recall.sources.page import PageOrigin
from runtime.recall.sources.rows import SourceRows
from runtime.recall.sources.sitemap import SitemapOrigin
from runtime.recall.sources.sources import RecallSources
from runtime.recall.sources.sync import Given


def make_sources(stores: Stores, ingestion: Ingestion, fetcher: Fetcher, folder: Path) -> RecallSources:
    """Return sources that fetch with `fetcher` into `folder`; tokens are in this process's environment."""
    origins: dict[SourceKind, Origin] = {
        "page": PageOrigin(fetcher),
        "sitemap": SitemapOrigin(fetcher),
        "feed": FeedOrigin(fetcher),
        "git": GitOrigin(fetcher),
        "folder": FolderOrigin(),
    }
    given = Given(
        stores=stores,
        ingestion=ingestion,
        rows=SourceRows(stores.truth, stores.marks),
        origins=origins,
        folder=folder,
        environment=os.environ,
        find_host=fetcher.find_host,
    )
    return RecallSources(given, watch_folder)
