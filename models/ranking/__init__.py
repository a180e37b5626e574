"""Finding the best items for a query, and how good the finding was."""

from models.ranking.index import ExactIndex, Index

__all__ = ["ExactIndex", "Index"]
