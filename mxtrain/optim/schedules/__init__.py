"""Learning-rate and momentum schedules: objects with a method `value(t)`."""

from mxtrain.optim.schedules import learning_rate, momentum
from mxtrain.optim.schedules.base import Schedule
from mxtrain.optim.schedules.learning_rate import LearningRateSchedule
from mxtrain.optim.schedules.momentum import MomentumSchedule

__all__ = ["LearningRateSchedule", "MomentumSchedule", "Schedule", "learning_rate", "momentum"]
