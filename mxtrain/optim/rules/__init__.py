"""Update rules, one file each. To add a rule, write its file and add one line to the list below."""

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, Union

from mxtrain.kinds import KindChoice
from mxtrain.optim.groups.group import Group as Group
from mxtrain.optim.rules.base import Rule as Rule
from mxtrain.optim.rules.matrix_rule import MatrixRule as MatrixRule
from mxtrain.optim.rules.time import Time as Time
from mxtrain.optim.rules.wrappers import AGC as AGC
from mxtrain.optim.rules.wrappers import EMA as EMA
from mxtrain.optim.rules.wrappers import Lookahead as Lookahead

# Messages, the schema and `mxtrain list` name the rules in this order.
# isort: off
from mxtrain.optim.rules.sgd import SGD as SGD
from mxtrain.optim.rules.adam import Adam as Adam
from mxtrain.optim.rules.adamw import AdamW as AdamW
from mxtrain.optim.rules.nadamw import NadamW as NadamW
from mxtrain.optim.rules.radam import RAdam as RAdam
from mxtrain.optim.rules.adabelief import AdaBelief as AdaBelief
from mxtrain.optim.rules.yogi import Yogi as Yogi
from mxtrain.optim.rules.ademamix import AdEMAMix as AdEMAMix
from mxtrain.optim.rules.laprop import LaProp as LaProp
from mxtrain.optim.rules.mars import MARS as MARS
from mxtrain.optim.rules.stable_adamw import StableAdamW as StableAdamW
from mxtrain.optim.rules.lamb import LAMB as LAMB
from mxtrain.optim.rules.lars import LARS as LARS
from mxtrain.optim.rules.adagrad import AdaGrad as AdaGrad
from mxtrain.optim.rules.adadelta import AdaDelta as AdaDelta
from mxtrain.optim.rules.adamax import AdaMax as AdaMax
from mxtrain.optim.rules.rmsprop import RMSProp as RMSProp
from mxtrain.optim.rules.nadam import Nadam as Nadam
from mxtrain.optim.rules.signum import Signum as Signum
from mxtrain.optim.rules.lion import Lion as Lion
from mxtrain.optim.rules.rprop import Rprop as Rprop
from mxtrain.optim.rules.ftrl import FTRL as FTRL
from mxtrain.optim.rules.adopt import ADOPT as ADOPT
from mxtrain.optim.rules.adan import Adan as Adan
from mxtrain.optim.rules.schedule_free_sgd import ScheduleFreeSGD as ScheduleFreeSGD
from mxtrain.optim.rules.schedule_free_adamw import ScheduleFreeAdamW as ScheduleFreeAdamW
from mxtrain.optim.rules.prodigy import Prodigy as Prodigy
from mxtrain.optim.rules.dog import DoG as DoG
from mxtrain.optim.rules.adafactor import Adafactor as Adafactor
from mxtrain.optim.rules.muon import Muon as Muon
from mxtrain.optim.rules.soap import SOAP as SOAP

# isort: on
from mxtrain.optim.rules.formula import Formula as Formula

RULES: tuple[type[Any], ...] = tuple(
    each
    for each in globals().values()
    if isinstance(each, type) and issubclass(each, Rule) and each not in (Rule, MatrixRule, Formula)
)
"""The rules of the list, in its order; `mxtrain` exports each under its name."""

_FORMULA_AFTER = RULES.index(SOAP) + 1
ALL_RULES: tuple[type[Any], ...] = (*RULES[:_FORMULA_AFTER], Formula, *RULES[_FORMULA_AFTER:])
"""Every kind of rule: those of the list, and rules as text."""

ELEMENTWISE_RULES: tuple[type[Any], ...] = tuple(each for each in RULES if not issubclass(each, MatrixRule))
"""The rules that the field `otherwise` of a matrix rule may have."""


class RuleChoice(KindChoice):
    """Any rule: built in, or defined by the user."""

    base = Rule
    builtin = ALL_RULES


class ElementwiseRuleChoice(KindChoice):
    """Any rule that a matrix rule may use for vectors."""

    base = Rule
    builtin = (*ELEMENTWISE_RULES, Formula)
    excluded = (MatrixRule,)


if TYPE_CHECKING:
    AnyRule: TypeAlias = Rule
else:
    AnyRule = Annotated[Union[ALL_RULES], RuleChoice]  # noqa: UP007 - built from the list
    ElementwiseRule = Annotated[Union[(*ELEMENTWISE_RULES, Formula)], ElementwiseRuleChoice]  # noqa: UP007
    for _rule in (Muon, SOAP):  # their annotations name it before it exists
        _rule.model_rebuild(_types_namespace={"ElementwiseRule": ElementwiseRule})
