"""The `sweep` section: its settings, the search space, and the run config of each point."""
