"""Readers: files and Python objects become columns or arrays."""
