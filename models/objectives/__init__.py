"""Losses, and the negatives they are taken against."""

from models.objectives.gbce import gbce_loss, gbce_power
from models.objectives.negatives import Candidates, NegativeSampler
from models.objectives.skipped import skip_loss
from models.objectives.softmax import softmax_coefficients, softmax_loss

__all__ = [
    "Candidates",
    "NegativeSampler",
    "gbce_loss",
    "gbce_power",
    "skip_loss",
    "softmax_coefficients",
    "softmax_loss",
]
