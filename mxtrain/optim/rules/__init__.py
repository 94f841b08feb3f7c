"""Update rules, one file each. To add one: write its file, and add it to the union here."""

from typing import Annotated

from pydantic import Field

from mxtrain.optim.rules.adadelta import AdaDelta
from mxtrain.optim.rules.adagrad import AdaGrad
from mxtrain.optim.rules.adam import Adam
from mxtrain.optim.rules.adamax import AdaMax
from mxtrain.optim.rules.adamw import AdamW
from mxtrain.optim.rules.base import Group, Rule, Time
from mxtrain.optim.rules.nadam import Nadam
from mxtrain.optim.rules.rmsprop import RMSProp
from mxtrain.optim.rules.sgd import SGD

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
