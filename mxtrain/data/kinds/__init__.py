"""Kinds of columns: numbers, categories, booleans, dates and columns that are no features, found from their values."""
