"""The words, rules and machines of Lar. Knows no transport, engine or store."""
