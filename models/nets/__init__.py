"""Encoders and the rows they read: an item is a row, a query is made from a history or a user."""

from models.nets.encoder import Dropout, Encoder, ExampleGradients, Inputs
from models.nets.examples import examples_by_autograd
from models.nets.recommender import Recommender
from models.nets.registry import encoder_named, encoder_of
from models.nets.serving import event_counts, load_serving
from models.nets.table import GrowableTable

__all__ = [
    "Dropout",
    "Encoder",
    "ExampleGradients",
    "GrowableTable",
    "Inputs",
    "Recommender",
    "encoder_named",
    "encoder_of",
    "event_counts",
    "examples_by_autograd",
    "load_serving",
]
