"""Schedules of the learning rate: `mxtrain.schedules.learning_rate` under the name that the documentation prints."""

import sys

from mxtrain.schedules import learning_rate

sys.modules[__name__] = learning_rate
