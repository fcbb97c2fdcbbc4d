"""LocalRecall's REST API over Lar's recall."""
