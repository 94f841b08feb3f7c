"""Optimizers for NumPy and CuPy arrays: rules, schedules, backends, and the state that an optimizer keeps."""
