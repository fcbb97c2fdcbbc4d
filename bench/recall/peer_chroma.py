"""Chroma on disk, in process. It ranks by vectors alone: its local store has a filter for words, no score."""

import sys
import time
from pathlib import Path

import chromadb
import measure  # type: ignore[import-not-found]  # beside this file, which runs as a script elsewhere

_BATCH = 5_000


def main(folder: Path, store: Path) -> None:
    """Ingest and ask."""
    corpus = measure.load(folder)
    empty = measure.memory_mib()
    client = chromadb.PersistentClient(str(store), chromadb.Settings(anonymized_telemetry=False))
    collection = client.create_collection("chunks", metadata={"hnsw:space": "cosine"})
    began = time.perf_counter()
    for start in range(0, len(corpus.texts), _BATCH):
        end = min(start + _BATCH, len(corpus.texts))
        collection.add(
            ids=[str(row) for row in range(start, end)],
            embeddings=corpus.vectors[start:end],
            documents=corpus.texts[start:end],
            metadatas=[{"tenant": tenant} for tenant in corpus.tenants[start:end]],
        )
    ingested = time.perf_counter()

    def rows(vector: object, **more: object) -> list[int]:
        found = collection.query(query_embeddings=[vector], n_results=measure.LIMIT, include=[], **more)
        return [int(each) for each in found["ids"][0]]

    vectors = measure.time_each(lambda _, vector: rows(vector), corpus)
    result = {
        "version": chromadb.__version__,
        "ingest_s": ingested - began,
        "index_s": 0.0,
        "hybrid": vectors,
        "vector": vectors,
        "filtered": measure.time_each(lambda _, vector: rows(vector, where={"tenant": "t7"}), corpus),
        "memory_mib": measure.memory_mib(),
        "memory_before_mib": empty,
        "disk_mib": measure.disk_mib(store),
    }
    measure.tell(result)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
