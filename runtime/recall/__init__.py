"""The only package that imports DuckDB: the database, the journal, later the memory."""
