"""Settings of what one request may ask."""

from __future__ import annotations

from pydantic import Field

from service.sections.section import Section


class LimitSettings(Section):
    """What one request may ask."""

    max_body_bytes: int = Field(1_048_576, ge=1_024, description="larger bodies get 413")
    max_batch: int = Field(1_000, ge=1, description="events, items or requests in a batch")
    max_explained: int = Field(50, ge=1, description="requests in a batch with `explain`")
    requests_per_s: float = Field(0.0, ge=0, description="per key; 0 is without limit")
    future_s: float = Field(
        300.0, ge=0, le=86_400, description="how far ahead a timestamp may lie, at most a day"
    )
