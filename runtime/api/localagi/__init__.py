"""LocalAGI's routes for agents, over Lar's agents."""
