"""Where torch computes."""

from __future__ import annotations

import torch

from service.settings import Settings


def device_of(settings: Settings) -> str:
    """`cpu` or `cuda`; the setting `auto` takes CUDA where there is one."""
    if settings.device != "auto":
        return settings.device
    return "cuda" if torch.cuda.is_available() else "cpu"
