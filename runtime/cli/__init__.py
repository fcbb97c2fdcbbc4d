"""The `lar` command: one module per group of subcommands."""
