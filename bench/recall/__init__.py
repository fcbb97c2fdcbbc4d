"""Recall beside LanceDB and Chroma: the same chunks, vectors and questions, a process for each."""
