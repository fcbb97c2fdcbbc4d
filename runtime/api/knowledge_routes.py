"""The routes of recall in one table: OpenAI's, LocalRecall's, Lar's own.

Static paths come before those with a name in the same place, since the first that fits is taken.
"""

import re

from runtime.api.localrecall import collections as localrecall_collections
from runtime.api.localrecall import entries as localrecall_entries
from runtime.api.localrecall import sources as localrecall_sources
from runtime.api.openai import (
    files,
    uploads,
    vector_store_batches,
    vector_store_files,
    vector_store_search,
    vector_stores,
)
from runtime.api.reach import Entry
from runtime.api.recall import care, collections, documents, jobs, lines, memories, search, sources

_PLACE = re.compile(r"{(\w+)}")

_TOLD: tuple[Entry, ...] = (
    *files.ROUTES,
    *uploads.ROUTES,
    *vector_stores.ROUTES,
    *vector_store_search.ROUTES,
    *vector_store_files.ROUTES,
    *vector_store_batches.ROUTES,
    *localrecall_collections.ROUTES,
    *localrecall_entries.ROUTES,
    *localrecall_sources.ROUTES,
    *collections.ROUTES,
    *documents.ROUTES,
    *search.ROUTES,
    *jobs.ROUTES,
    *sources.ROUTES,
    *lines.ROUTES,
    *memories.ROUTES,
    *care.ROUTES,
)

# A place takes any name: aiohttp's own pattern would leave out those with braces.
KNOWLEDGE_ROUTES: tuple[Entry, ...] = tuple(
    (method, _PLACE.sub(r"{\1:[^/]+}", path), permission, handler)
    for method, path, permission, handler in _TOLD
)
"""Method, path, permission, handler."""
