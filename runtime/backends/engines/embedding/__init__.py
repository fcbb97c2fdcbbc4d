"""Embedding and reranking as any engine does them: what is asked becomes batches, batches become frames."""
