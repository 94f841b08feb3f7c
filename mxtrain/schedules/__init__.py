"""Schedules of the learning rate and of momentum; every one is an object with `value(t)`."""

from mxtrain.schedules import learning_rate, momentum
from mxtrain.schedules.base import Schedule
from mxtrain.schedules.learning_rate import LearningRateSchedule
from mxtrain.schedules.momentum import MomentumSchedule

__all__ = ["LearningRateSchedule", "MomentumSchedule", "Schedule", "learning_rate", "momentum"]
