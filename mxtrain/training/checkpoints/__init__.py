"""Checkpoints: their contents, schedule and storage."""
