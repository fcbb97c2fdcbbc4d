"""The second stage: a lane for each model that somebody needs, begun when its first text comes."""

from collections.abc import Sequence

import anyio

from runtime.core.ids import DocumentId
from runtime.core.recall import Embedder
from runtime.recall.ingest.lane import Ends, Lane, LaneKey, Patience, key_of
from runtime.recall.ingest.reembed import Fills
from runtime.recall.ingest.stores import Stores
from runtime.recall.ingest.units import embedding_of


class VectorStage:
    """Makes the vectors of all that lacks one."""

    def __init__(self, stores: Stores, embedder: Embedder, patience: Patience, fills: Fills) -> None:
        self._stores = stores
        self._embedder = embedder
        self._patience = patience
        self._fills = fills
        self._lanes: dict[LaneKey, Lane] = {}
        stores.live.on_stop.append(self._stop)

    async def run_forever(self) -> None:
        """Keep the lanes. For the task group of ingestion."""
        async with anyio.create_task_group() as tasks:
            while True:
                rung = self._stores.live.bells["vectors"].next
                for key in await self._wanted():
                    if key not in self._lanes:
                        self._lanes[key] = self._lane(key)
                        tasks.start_soon(self._lanes[key].run_forever)
                self._hand_out_fills()
                await rung.wait()

    async def _wanted(self) -> set[LaneKey]:
        """Return the lanes that there is something for."""
        live, marks = self._stores.live, self._stores.marks
        rows = await self._stores.truth.read("SELECT DISTINCT ns FROM work WHERE stage = 'vectors'")
        homes = [(row[0], mark.space) for row in rows if (mark := marks.by_ns(row[0])) is not None]
        homes += [(each.ns, each.space) for each in self._fills.units]
        embeddings = [(embedding_of(marks.by_ns(ns), space), space) for ns, space in homes]
        return {key_of(live, embedding, space) for embedding, space in embeddings if embedding is not None}

    def _hand_out_fills(self) -> None:
        for fill in self._fills.units:
            embedding = embedding_of(self._stores.marks.by_ns(fill.ns), fill.space)
            key = None if embedding is None else key_of(self._stores.live, embedding, fill.space)
            if key is not None and key in self._lanes:
                self._lanes[key].add_fill(fill)

    def _lane(self, key: LaneKey) -> Lane:
        ends = Ends(filled=self._fills.filled, failed=self._fills.failed, heal=self._fills.heal)
        return Lane(self._stores, self._embedder, key, self._patience, ends)

    def _stop(self, documents: Sequence[DocumentId]) -> None:
        for lane in self._lanes.values():
            lane.stop(documents)
