"""Minimization of a function of a vector by its value and gradient."""
