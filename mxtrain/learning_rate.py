"""Schedules of the learning rate; see `mxtrain.optim.schedules.learning_rate`."""

from mxtrain.optim.schedules.learning_rate import (
    Cosine,
    Exp,
    Fixed,
    Inv,
    LearningRateSchedule,
    MultiStep,
    RateSchedule,
    Step,
)

__all__ = ["Cosine", "Exp", "Fixed", "Inv", "LearningRateSchedule", "MultiStep", "RateSchedule", "Step"]
