"""The epoch under way: what has been summed up of it so far."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mxtrain.models import Metric, metric_sums, restore_metric


@dataclass(slots=True)
class EpochSums:
    """Sums over the batches of an epoch that are done. On a GPU they stay there until they are asked for.

    Attributes:
        metrics: the metrics of training, by name.
        loss: the sum of the losses of all samples, in float64.
        samples: how many samples that were.
        norms: the sum of the gradients' norms.
        largest: the largest of these norms.
        steps: how many gradients that were.
        skipped: batches that were left out.
        last: the diagnostics of the epoch's last step, once it is done.
    """

    metrics: dict[str, Metric]
    loss: Any = 0.0
    samples: int = 0
    norms: Any = 0.0
    largest: Any = 0.0
    steps: int = 0
    skipped: int = 0
    last: dict[str, Any] = field(default_factory=dict)

    def means(self) -> dict[str, float | None]:
        """The loss and the metrics of the samples seen; NaN where every batch was left out."""
        loss = float(self.loss) / self.samples if self.samples else math.nan
        return {"loss": loss, **{name: metric.value() for name, metric in self.metrics.items()}}

    def diagnostics(self) -> dict[str, Any]:
        """What is reported of the epoch's gradients and updates."""
        norm = float(self.norms) / self.steps if self.steps else 0.0
        found = {"grad_norm": norm, "grad_norm_max": float(self.largest), **self.last}
        return found | ({"skipped": self.skipped} if self.skipped else {})

    def to_record(self) -> dict[str, Any]:
        """As it is saved: plain numbers, exact in JSON."""
        return {
            "metrics": {name: metric_sums(metric) for name, metric in self.metrics.items()},
            "loss": float(self.loss),
            "samples": self.samples,
            "norms": float(self.norms),
            "largest": float(self.largest),
            "steps": self.steps,
            "skipped": self.skipped,
            "last": self.last,
        }

    def restore(self, record: Mapping[str, Any]) -> None:
        """Continue from what `to_record` returned."""
        for name, metric in self.metrics.items():
            restore_metric(metric, record["metrics"][name])
        for name in ("loss", "samples", "norms", "largest", "steps", "skipped", "last"):
            setattr(self, name, record[name])
