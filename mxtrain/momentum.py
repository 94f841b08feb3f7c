"""Schedules of momentum; see `mxtrain.optim.schedules.momentum`."""

from mxtrain.optim.schedules.momentum import Fixed, MomentumSchedule, Nadam, Null

__all__ = ["Fixed", "MomentumSchedule", "Nadam", "Null"]
