"""Schedules of momentum: `mxtrain.schedules.momentum` under the name that the documentation prints."""

import sys

from mxtrain.schedules import momentum

sys.modules[__name__] = momentum
