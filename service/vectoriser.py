"""What reads the texts of items: hashed words by default, a sentence-transformers model by name.

Replicas read them to answer, and the fast memory's process to write lessons down.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from models.content.features import EMPTY, Content, HashedTokens, Row, Vectoriser
from service.domain.catalogue import Item
from service.errors import SettingsError
from service.sections import ContentSettings

_BATCH = 64
_MAX_CHARACTERS = 20_000


def make_vectoriser(settings: ContentSettings) -> Vectoriser:
    """What `content.model` names.

    Raises:
        SettingsError: the package of sentence-transformers or the model is not there.
    """
    if not settings.model:
        return HashedTokens(max_tokens=settings.max_tokens)
    try:
        return SentenceVectors(
            import_module("sentence_transformers").SentenceTransformer(settings.model)
        )
    except (ImportError, OSError, ValueError) as error:
        raise SettingsError(f"content.model: {settings.model!r} cannot be used: {error}") from error


def read_items(vectoriser: Vectoriser, items: Sequence[Item]) -> dict[str, Row]:
    """What items say of themselves, by id; a tombstone says nothing."""
    rows = vectoriser.rows([_content(item) for item in items])
    return {item.item_id: row for item, row in zip(items, rows, strict=True)}


class SentenceVectors:
    """Dense vectors of sentences, as rows in which every column is set.

    A replica asks the model for every item when it starts, and for each write before it is
    answered: what that costs is the model's affair.

    Args:
        model: a `sentence_transformers.SentenceTransformer`.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._width = int(model.get_sentence_embedding_dimension())
        self._columns = np.arange(self._width, dtype=np.int32)

    @property
    def width(self) -> int:
        return self._width

    def rows(self, contents: Sequence[Content]) -> list[Row]:
        texts = [_sentence(content) for content in contents]
        told = [place for place, text in enumerate(texts) if text]
        rows = [EMPTY] * len(texts)
        if told:
            vectors = self._model.encode(
                [texts[place] for place in told],
                batch_size=_BATCH,
                normalize_embeddings=True,
                convert_to_numpy=True,
                show_progress_bar=False,
            )
            for place, vector in zip(told, np.asarray(vectors, dtype=np.float32), strict=True):
                if np.isfinite(vector).all() and vector.any():
                    rows[place] = Row(self._columns, vector)
        return rows


def _content(item: Item) -> Content:
    if item.deleted:
        return Content()
    return Content(item.title, item.description, item.categories, item.tags, item.attributes)


def _sentence(content: Content) -> str:
    """All that the item says, as one text."""
    attributes = (value for value in content.attributes.values() if isinstance(value, str))
    parts = (content.title, *content.categories, *content.tags, *attributes, content.description)
    return ". ".join(part for part in map(str.strip, parts) if part)[:_MAX_CHARACTERS]
