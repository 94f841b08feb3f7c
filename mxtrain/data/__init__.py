"""Data pipeline: read tables and arrays, split, preprocess, and iterate over batches."""

from mxtrain.data.batches import Batch, Batches, DiskSamples, InMemorySamples, Samples, in_order
from mxtrain.data.data_parts import Data, DataParts, GivenData, HeldOut, as_argument, as_parts
from mxtrain.data.dataset import (
    Dataset,
    DatasetCache,
    FingerprintedDataset,
    PartName,
    prepare,
    read_data,
)
from mxtrain.data.evaluation_data import load_samples, read_samples, samples_from_memory
from mxtrain.data.fingerprints import data_fingerprint, fingerprint
from mxtrain.data.in_memory_data import InMemoryData, read_in_memory_data
from mxtrain.data.inference_data import inputs_from_memory, load_for_prediction
from mxtrain.data.loading import load
from mxtrain.data.preprocessing.features import NumericFeature, OneHotFeature
from mxtrain.data.preprocessing.preprocessing import Preprocessing
from mxtrain.data.preprocessing.scalers import Standardization
from mxtrain.data.preprocessing.table import Table
from mxtrain.data.python_columns import columns_of
from mxtrain.data.readers.columns import Columns
from mxtrain.data.splits import Split, split, split_groups

__all__ = [
    "Batch",
    "Batches",
    "Columns",
    "Data",
    "DataParts",
    "Dataset",
    "DatasetCache",
    "DiskSamples",
    "FingerprintedDataset",
    "GivenData",
    "HeldOut",
    "InMemoryData",
    "InMemorySamples",
    "NumericFeature",
    "OneHotFeature",
    "PartName",
    "Preprocessing",
    "Samples",
    "Split",
    "Standardization",
    "Table",
    "as_argument",
    "as_parts",
    "columns_of",
    "data_fingerprint",
    "fingerprint",
    "in_order",
    "inputs_from_memory",
    "load",
    "load_for_prediction",
    "load_samples",
    "prepare",
    "read_data",
    "read_in_memory_data",
    "read_samples",
    "samples_from_memory",
    "split",
    "split_groups",
]
