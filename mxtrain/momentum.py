"""Schedules of momentum; see `mxtrain.schedules.momentum`."""

from mxtrain.schedules.momentum import Fixed, MomentumSchedule, Nadam, Null

__all__ = ["Fixed", "MomentumSchedule", "Nadam", "Null"]
