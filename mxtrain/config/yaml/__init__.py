"""YAML text to and from node trees that record the line and column of every value."""
