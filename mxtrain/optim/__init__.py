"""Optimizers for NumPy and CuPy arrays: rules, schedules, backends, and the state of an optimizer."""
