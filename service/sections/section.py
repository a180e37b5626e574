"""What all sections of the settings have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the settings: it stays as it was read, and refuses names that it does not have."""

    model_config = ConfigDict(frozen=True, extra="forbid")
