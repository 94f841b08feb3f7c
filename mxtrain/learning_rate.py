"""Learning-rate schedules; see `mxtrain.optim.schedules.learning_rate`."""

from mxtrain.optim.schedules.learning_rate import *  # noqa: F403 - the schedules, which are listed there
