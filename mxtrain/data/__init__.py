"""What is trained on: tables become the batches of a run, as pure functions of files and of (seed, epoch)."""

from mxtrain.data.batches import Batches, in_order
from mxtrain.data.columns import Columns, columns_of
from mxtrain.data.dataset import Dataset, prepare
from mxtrain.data.disk_part import DiskPart
from mxtrain.data.fingerprint import fingerprint
from mxtrain.data.handed_over import Data, inputs_of, samples_of
from mxtrain.data.load import load
from mxtrain.data.other_files import load_for_prediction
from mxtrain.data.part import Batch, Part, Samples
from mxtrain.data.preprocessing import Category, Number, Preprocessing
from mxtrain.data.read_data import DataMemory, ReadData, data_fingerprint, read_data
from mxtrain.data.split import Split, split
from mxtrain.data.standardization import Standardization
from mxtrain.data.table import Table
from mxtrain.data.training_data import TrainingData, take_over

__all__ = [
    "Batch",
    "Batches",
    "Category",
    "Columns",
    "Data",
    "DataMemory",
    "Dataset",
    "DiskPart",
    "Number",
    "Part",
    "Preprocessing",
    "ReadData",
    "Samples",
    "Split",
    "Standardization",
    "Table",
    "TrainingData",
    "columns_of",
    "data_fingerprint",
    "fingerprint",
    "in_order",
    "inputs_of",
    "load",
    "load_for_prediction",
    "prepare",
    "read_data",
    "samples_of",
    "split",
    "take_over",
]
