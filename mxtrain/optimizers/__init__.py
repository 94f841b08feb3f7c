"""The catalogue of update rules, one file each. To add one: write its file, and add it to the union here."""

from typing import Annotated

from pydantic import Field

from mxtrain.optimizers.adadelta import AdaDelta
from mxtrain.optimizers.adagrad import AdaGrad
from mxtrain.optimizers.adam import Adam
from mxtrain.optimizers.adamax import AdaMax
from mxtrain.optimizers.adamw import AdamW
from mxtrain.optimizers.base import Rule, Time
from mxtrain.optimizers.group import Group
from mxtrain.optimizers.nadam import Nadam
from mxtrain.optimizers.rmsprop import RMSProp
from mxtrain.optimizers.sgd import SGD

RULES = (SGD, Adam, AdamW, AdaGrad, AdaDelta, AdaMax, RMSProp, Nadam)
AnyRule = Annotated[SGD | Adam | AdamW | AdaGrad | AdaDelta | AdaMax | RMSProp | Nadam, Field(discriminator="kind")]

__all__ = [
    "RULES",
    "SGD",
    "AdaDelta",
    "AdaGrad",
    "AdaMax",
    "Adam",
    "AdamW",
    "AnyRule",
    "Group",
    "Nadam",
    "RMSProp",
    "Rule",
    "Time",
]
