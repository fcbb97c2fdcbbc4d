"""All of LocalAGI's routes that Lar serves."""

from runtime.api.localagi.agents import AGENT_ROUTES
from runtime.api.localagi.chat import CHAT_ROUTES
from runtime.api.localagi.observing import OBSERVING_ROUTES
from runtime.api.reach import Entry

ROUTES: tuple[Entry, ...] = (*AGENT_ROUTES, *OBSERVING_ROUTES, *CHAT_ROUTES)
