"""Settings of what is read of items' texts."""

from __future__ import annotations

from importlib.util import find_spec

from pydantic import Field, field_validator

from service.sections.section import Section


class ContentSettings(Section):
    """What is read of items' texts, so that an item is ranked by them before it is met."""

    model: str = Field(
        "",
        description="a sentence-transformers model, by name or directory, that reads the texts; its"
        " package must be installed; empty: words and labels, hashed",
    )
    max_items: int = Field(
        200_000,
        ge=0,
        description="items whose features a replica keeps, some 500 bytes each; 0: no text is read",
    )
    max_tokens: int = Field(
        128, ge=1, le=10_000, description="words and labels read of one item, those that weigh most"
    )
    max_new: int = Field(
        20_000,
        ge=0,
        description="items that the version has no row for and that are ranked by their text, the"
        " latest written; 0: none",
    )
    few_events: float = Field(
        5.0,
        ge=0,
        allow_inf_nan=False,
        description="an item with fewer positive events leans on its text, if that can be read:"
        " the text counts as so many events",
    )

    @field_validator("model")
    @classmethod
    def _check_model(cls, value: str) -> str:
        if value and find_spec("sentence_transformers") is None:
            raise ValueError(
                f"{value!r} needs the package sentence-transformers, which is not installed;"
                " leave it empty for hashed words"
            )
        return value
