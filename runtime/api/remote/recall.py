"""The recall of a running server in one piece, as commands and MCP over stdio use it."""

from runtime.api.client import LarClient
from runtime.api.remote.knowledge import (
    RemoteCollections,
    RemoteDocuments,
    RemoteJobs,
    RemoteSearcher,
    RemoteSources,
)
from runtime.api.remote.memories import RemoteCare, RemoteMemories
from runtime.api.remote.wire import Wire


class RemoteRecall:
    """All of it; owns nothing: the client is opened and closed by whoever made it."""

    def __init__(self, client: LarClient) -> None:
        wire = Wire(client)
        self.client = client
        self.collections = RemoteCollections(wire)
        self.documents = RemoteDocuments(wire)
        self.searcher = RemoteSearcher(wire)
        self.memories = RemoteMemories(wire)
        self.sources = RemoteSources(wire)
        self.jobs = RemoteJobs(wire)
        self.care = RemoteCare(wire)
