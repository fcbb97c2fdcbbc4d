"""Programs that models write, in bubblewrap: no network, a folder of their own, and little of everything."""
