"""Preprocessing fitted to the training set: tables, classes, scalers, and target encoding."""
