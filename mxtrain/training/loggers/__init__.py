"""Loggers: delivery of metrics to TensorBoard and MLflow."""
