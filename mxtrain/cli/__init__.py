"""Command line: one function per command. The only package that prints."""
