"""Losses, and the negatives they are taken against."""

from models.objectives.bpr import bpr_loss
from models.objectives.gbce import gbce_loss, gbce_power
from models.objectives.negatives import Candidates, NegativeSampler
from models.objectives.softmax import softmax_coefficients, softmax_loss

__all__ = [
    "Candidates",
    "NegativeSampler",
    "bpr_loss",
    "gbce_loss",
    "gbce_power",
    "softmax_coefficients",
    "softmax_loss",
]
