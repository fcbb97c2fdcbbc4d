"""Taking documents in: durable jobs, the way from bytes to chunks, and the vectors that follow."""
