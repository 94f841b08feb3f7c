"""The methods of a minimization: their construction, and the conditions that end each stage and the whole."""

from dataclasses import dataclass, replace

from mxtrain.errors import ConfigError, ConfigProblem
from mxtrain.minimization.box import Box
from mxtrain.minimization.conjugate_gradient import ConjugateGradient
from mxtrain.minimization.lbfgs import LBFGS
from mxtrain.minimization.lbfgsb import LBFGSB
from mxtrain.minimization.line_search import HagerZhang, MoreThuente
from mxtrain.minimization.method import Method
from mxtrain.minimization.method_configs import CGConfig, LBFGSConfig, MethodConfig, Stage
from mxtrain.minimization.rule_method import RuleMethod
from mxtrain.minimization.variables import Variables
from mxtrain.optim.stopping import Progress, Stop, StopConditions, StopTest


@dataclass(slots=True)
class StageRun:
    """A stage that is running.

    Attributes:
        method: its method.
        ends_all: the test of the conditions that end all stages.
        ends_stage: the test of its own conditions; None without such conditions.
        start: the iterations, evaluations and seconds before it.
    """

    method: Method
    ends_all: StopTest
    ends_stage: StopTest | None
    start: tuple[int, int, float]

    def stop(self, progress: Progress) -> tuple[Stop, bool] | None:
        """Return the condition that holds, and whether it ends all stages; None if none holds."""
        found = self.ends_all(progress)
        if found is not None:
            return found, True
        if self.ends_stage is None:
            return None
        iterations, evaluations, seconds = self.start
        own = replace(
            progress,
            iterations=progress.iterations - iterations,
            evaluations=progress.evaluations - evaluations,
            seconds=progress.seconds - seconds,
            best_iteration=max(progress.best_iteration - iterations, 0),
        )
        found = self.ends_stage(own)
        return None if found is None else (found, False)


def check_stages(stages: tuple[Stage, ...], variables: Variables, box: Box | None, until: StopConditions) -> None:
    """Build every method once, so that a mistake in a later stage is found before the first evaluation.

    Raises:
        ConfigError: a method cannot have bounds, or a schedule counts epochs, or needs a length that is not known.
    """
    for i, stage in enumerate(stages):
        place = "method" if len(stages) == 1 else f"method.{i}"
        if isinstance(stage.config, MethodConfig) and box is not None and not stage.config.takes_bounds:
            message = f"has no bounds; use lbfgs or a rule, such as adam, got bounds with {stage.config.kind}"
            raise ConfigError([ConfigProblem(place, message)])
        try:
            build_method(stage, variables, box, until)
        except ConfigError as error:
            problems = [replace(each, path=each.path.replace("optimizer", place, 1)) for each in error.problems]
            raise ConfigError(problems) from None


def build_method(stage: Stage, variables: Variables, box: Box | None, until: StopConditions) -> Method:
    """Return a new method for a stage.

    Args:
        stage: the stage.
        variables: the layout of x0.
        box: the bounds.
        until: the conditions that end all stages.
    """
    config = stage.config
    if not isinstance(config, MethodConfig):
        for path, schedule in config.all_schedules().items():
            if schedule.per == "epoch":
                message = "a minimization has no epochs; set per: iteration, or fraction"
                raise ConfigError([ConfigProblem(f"optimizer.{path}.per", message)])
        lengths = (stage.until.max_iterations, until.max_iterations)
        return RuleMethod(
            config,
            variables,
            box,
            max_iterations=next((each for each in lengths if each), None),
            measures_step=stage.until.tests_steps or until.tests_steps,
        )
    return build_line_search_method(config, box)


def build_line_search_method(config: MethodConfig, box: Box | None = None) -> Method:
    """Return a new method with a line search."""
    if isinstance(config, LBFGSConfig):
        search = MoreThuente(max_evaluations=config.max_line_search)
        return LBFGS(config.memory, search) if box is None else LBFGSB(box.low, box.high, config.memory, search)
    if isinstance(config, CGConfig):
        return ConjugateGradient(HagerZhang(max_evaluations=config.max_line_search))
    raise AssertionError(f"no method has the config {config}")
