"""`ContentSettings` by the name under which serving and memory still import it."""

from service.sections.content import ContentSettings

__all__ = ["ContentSettings"]
