"""The Responses API: one truth with runs of agents, told in the words of OpenAI."""
