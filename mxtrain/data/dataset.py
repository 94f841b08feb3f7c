"""The samples that a run trains, validates and tests on."""

from dataclasses import dataclass

from mxtrain.config.run import CLASS_LOSSES, RunConfig
from mxtrain.data.disk_dataset import prepare_disk
from mxtrain.data.fitting import fit_preprocessing
from mxtrain.data.load import load
from mxtrain.data.other_files import part_of_its_own
from mxtrain.data.part import Part, Samples
from mxtrain.data.preparing import check_batch_size, check_classes
from mxtrain.data.preprocessing import Preprocessing
from mxtrain.data.split import split
from mxtrain.data.targets import as_targets
from mxtrain.data.training_data import TrainingData


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """What a run works on, ready for its model and loss.

    Attributes:
        training, validation, test: the parts; the last two may be empty.
        preprocessing: what was fitted to the training part, to be saved with the run.
        n_outputs: how many outputs the model needs: one for each class for softmax_cross_entropy, else 1.
    """

    training: Samples
    validation: Samples
    test: Samples
    preprocessing: Preprocessing
    n_outputs: int

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What the model's d inputs are called."""
        return self.preprocessing.feature_names

    @property
    def target_name(self) -> str:
        """What is predicted."""
        return self.preprocessing.target

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The classes in the order of their indices, or None for squared_error."""
        return self.preprocessing.class_names

    @property
    def n_features(self) -> int:
        """How many inputs the model has."""
        return len(self.feature_names)


def prepare(config: RunConfig, given: TrainingData | None = None) -> Dataset:
    """Load, split and standardize what a run works on.

    A pure function of the config and of the files it names, or of what was handed over in their place. Whatever is
    fitted is fitted to the training part. All parts keep the order of their file. Arrays in `.npy` files stay on the
    disk.

    Raises:
        DataError: the data cannot be read, or do not suit the loss, the batch size or the dtype.

    Example:
        >>> dataset = prepare(RunConfig.model_validate({
        ...     "data": {"source": "digits", "test": 0.1}, "model": {"kind": "mlp"}, "loss": "softmax_cross_entropy",
        ...     "optimizer": {"kind": "adam"}}))
        >>> len(dataset.training), len(dataset.validation), len(dataset.test), dataset.n_features, dataset.n_outputs
        (1258, 359, 180, 64, 10)
    """
    parts, preprocessing = prepare_disk(config) if config.data.is_streamed else _prepare_table(config, given)
    classes = len(preprocessing.class_names or ())
    return Dataset(*parts, preprocessing, classes if config.decoding == "softmax_cross_entropy" else 1)


def _prepare_table(
    config: RunConfig, given: TrainingData | None
) -> tuple[tuple[Samples, Samples, Samples], Preprocessing]:
    data = config.data
    classes = config.decoding in CLASS_LOSSES
    table = given.table(config) if given else load(data, classes)
    check_classes(config, table.target_name, table.class_names)
    rows = split(table.targets, data.share("validation"), data.share("test"), config.seed, stratified=classes)
    check_batch_size(config, len(rows.training))
    preprocessing = fit_preprocessing(table, rows.training, config)
    targets = as_targets(table.targets, preprocessing, data.source)

    def part(name: str) -> Part:
        path, own = getattr(data, name, None), getattr(rows, name)
        if isinstance(path, str):
            return part_of_its_own(path, preprocessing, data.missing)
        inputs = preprocessing.transform(
            table.inputs[own], table.labels, lambda row: table.place(int(own[row])), data.source
        )
        return Part(inputs, targets[own])

    return (part("training"), part("validation"), part("test")), preprocessing
