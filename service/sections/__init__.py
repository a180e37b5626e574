"""The sections of the settings, one for each part; `service/settings.py` puts them together."""

from service.sections.content import ContentSettings
from service.sections.json_text import read_json
from service.sections.learner import DriftSettings, LearnerSettings, WindowSettings
from service.sections.limits import LimitSettings
from service.sections.log import LogSettings
from service.sections.memory import MemorySettings
from service.sections.online import OnlineSettings
from service.sections.serving import ServingSettings

__all__ = [
    "ContentSettings",
    "DriftSettings",
    "LearnerSettings",
    "LimitSettings",
    "LogSettings",
    "MemorySettings",
    "OnlineSettings",
    "ServingSettings",
    "WindowSettings",
    "read_json",
]
