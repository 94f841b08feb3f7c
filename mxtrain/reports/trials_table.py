"""All trials in a table that can be sorted and filtered."""

from mxtrain.numbers import short
from mxtrain.reports.dimensions import plain
from mxtrain.reports.page import Html, text
from mxtrain.reports.sweep_facts import STATES, SweepFacts, Trial, told_value

_NONE = '<td class="number"></td>'


def trials_table(sweep: SweepFacts) -> Html:
    """The table, with what sorts and filters it."""
    best = {trial.number for trial in sweep.best}
    has_spread = any(trial.spread for trial in sweep.trials)
    has_error = any(trial.error for trial in sweep.trials)
    names = ["trial", "state"]
    for objective in sweep.objectives:
        names += [objective.metric, *(["± over seeds"] if has_spread else [])]
    names += [*(it.name for it in sweep.dimensions), "epochs", "seconds", *(["error"] if has_error else [])]
    head = "".join(f'<th scope="col"><button type="button">{text(name)}</button></th>' for name in names)
    body = "\n".join(_row(sweep, trial, trial.number in best, has_spread, has_error) for trial in sweep.trials)
    return Html(
        f"{_controls(sweep)}\n"
        f'<div class="wide"><table class="trials" id="trials">\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _controls(sweep: SweepFacts) -> str:
    states = [state for state in STATES if sweep.counted(state)]
    options = "".join(f'<option value="{state}">{state}</option>' for state in states)
    return (
        '<div class="controls"><label>state <select id="state"><option value="">all</option>'
        f'{options}</select></label> <label>holds <input id="words" type="search" autocomplete="off"></label> '
        '<span class="dim" id="shown" role="status"></span></div>'
    )


def _row(sweep: SweepFacts, trial: Trial, is_best: bool, has_spread: bool, has_error: bool) -> str:
    kind = ' class="best"' if is_best else ""
    cells = [_number(trial.number, str(trial.number)), f'<td class="{trial.state}">{trial.state}</td>']
    for place in range(len(sweep.objectives)):
        metric = sweep.objectives[place].metric
        cells.append(_number(trial.values[place], told_value(metric, trial.values[place])) if trial.values else _NONE)
        if has_spread:
            cells.append(_number(trial.spread[place], short(trial.spread[place])) if trial.spread else _NONE)
    for dimension in sweep.dimensions:
        value = dimension.values.get(trial.number, "")
        cells.append(f"<td>{text(value)}</td>" if isinstance(value, str) else _number(value, plain(value)))
    cells += [_number(trial.epochs, f"{trial.epochs:,}"), _number(trial.seconds, f"{trial.seconds:.2f}")]
    if has_error:
        cells.append(f"<td>{text(' '.join(trial.error.split()))}</td>")
    return f'<tr data-state="{trial.state}"{kind}>{"".join(cells)}</tr>'


def _number(value: float, told: str) -> str:
    return f'<td class="number" data-value="{value!r}">{text(told)}</td>'
