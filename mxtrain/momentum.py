"""Momentum schedules; see `mxtrain.optim.schedules.momentum`."""

from mxtrain.optim.schedules.momentum import *  # noqa: F403 - the schedules, which are listed there
