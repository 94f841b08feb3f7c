"""What is trained on: tables become the batches of a run, as pure functions of files and of (seed, epoch)."""

from mxtrain.data.batches import Batch, Batches, in_order
from mxtrain.data.dataset import Dataset, Part, prepare
from mxtrain.data.fingerprint import fingerprint
from mxtrain.data.load import load
from mxtrain.data.split import split
from mxtrain.data.standardization import Standardization
from mxtrain.data.table import Table

__all__ = [
    "Batch",
    "Batches",
    "Dataset",
    "Part",
    "Standardization",
    "Table",
    "fingerprint",
    "in_order",
    "load",
    "prepare",
    "split",
]
