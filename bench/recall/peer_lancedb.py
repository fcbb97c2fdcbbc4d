"""LanceDB as its guide has it: vectors and texts in a table, an index for each, hybrid with its reranker."""

import sys
import time
from pathlib import Path

import lancedb
import measure  # type: ignore[import-not-found]  # beside this file, which runs as a script elsewhere
import pyarrow as pa

_INDEX_FROM = 50_000
"""Below that its guide advises to scan."""
_BATCH = 10_000


def main(folder: Path, store: Path) -> None:
    """Ingest, index and ask."""
    corpus = measure.load(folder)
    empty = measure.memory_mib()
    began = time.perf_counter()
    schema = pa.schema(
        [
            ("row", pa.int64()),
            ("text", pa.string()),
            ("tenant", pa.string()),
            ("vector", pa.list_(pa.float32(), 384)),
        ]
    )
    table = lancedb.connect(store).create_table("chunks", schema=schema)
    for start in range(0, len(corpus.texts), _BATCH):
        end = min(start + _BATCH, len(corpus.texts))
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(corpus.vectors[start:end].ravel()), 384)
        columns = [
            pa.array(range(start, end)),
            pa.array(corpus.texts[start:end]),
            pa.array(corpus.tenants[start:end]),
            vectors,
        ]
        table.add(pa.Table.from_arrays(columns, schema=schema))
    ingested = time.perf_counter()
    table.create_fts_index("text")
    table.create_scalar_index("tenant")
    if len(corpus.texts) >= _INDEX_FROM:
        table.create_index(metric="cosine", index_type="IVF_HNSW_SQ")
    indexed = time.perf_counter()

    def rows(search: object) -> list[int]:
        return [each["row"] for each in search.limit(measure.LIMIT).select(["row"]).to_list()]  # type: ignore[attr-defined]  # one of many builders

    def hybrid(question: str, vector: object, where: str | None = None) -> list[int]:
        search = table.search(query_type="hybrid").vector(vector).text(question)
        return rows(search.where(where, prefilter=True) if where else search)

    result = {
        "version": lancedb.__version__,
        "ingest_s": ingested - began,
        "index_s": indexed - ingested,
        "hybrid": measure.time_each(hybrid, corpus),
        "vector": measure.time_each(lambda _, vector: rows(table.search(vector).metric("cosine")), corpus),
        "text": measure.time_each(lambda question, _: rows(table.search(question, query_type="fts")), corpus),
        "filtered": measure.time_each(
            lambda question, vector: hybrid(question, vector, "tenant = 't7'"), corpus
        ),
        "memory_mib": measure.memory_mib(),
        "memory_before_mib": empty,
        "disk_mib": measure.disk_mib(store),
    }
    measure.tell(result)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
