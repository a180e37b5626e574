"""The settings table of the guides, written from the settings themselves.

`python -m service.cli.reference` writes it anew; a test fails while it and the code differ.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel

from models.config import LearningConfig
from models.registry import METHODS, found
from service.settings import Settings

TABLE: Final = Path(__file__).parents[2] / "docs" / "guides" / "settings.md"
BEGIN: Final = "<!-- the table begins: written by `make docs` -->"
END: Final = "<!-- the table ends -->"

_SECTIONS: Final = {
    "": "The service",
    "window": "When the learner cuts a window",
    "log": "The event log and the histories",
    "serving": "How answers are made",
    "content": "What is read of items' texts",
    "limits": "What one request may ask",
    "learner": "The process of the learner",
    "online": "What is measured of answers",
    "memory": "The fast memory",
    "drift": "When the model becomes worse on what comes",
    "learning": "The model, its updates, and the gate",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """One row: the environment variable, the default as it would be written there, the meaning."""

    section: str
    variable: str
    default: str
    meaning: str


def settings() -> list[Setting]:
    """Every setting there is, in the order of the source."""
    rows = list(_of_model(Settings, "", "FRESHET_"))
    return sorted(rows, key=lambda row: list(_SECTIONS).index(row.section))


def table() -> str:
    """The table as Markdown, one section after the other."""
    parts = []
    for section, title in _SECTIONS.items():
        lines = [f"### {title}", "", "| setting | default | meaning |", "|---|---|---|"]
        for row in settings():
            if row.section == section:
                lines.append(f"| `{row.variable}` | {row.default} | {row.meaning} |")
        parts.append("\n".join(lines))
    return "\n\n".join([*parts, methods_table()])


def methods_table() -> str:
    """Every method against forgetting, with its parameters and their defaults, as Markdown."""
    lines = ["### The methods and their parameters", "", "| method | what it is | parameters |"]
    lines.append("|---|---|---|")
    for name, place in METHODS.items():
        kind = found("methods", name, METHODS)
        meanings = _docstrings_of_fields(kind.parameter_type)
        parameters = [
            f"`{field.name}` ({_written(field.default)}): {_one_line(meanings.get(field.name, ''))}"
            for field in dataclasses.fields(kind.parameter_type)
        ]
        summary = inspect.getdoc(importlib.import_module(place.partition(":")[0])) or ""
        meaning = _one_line(summary.partition("\n")[0])
        lines.append(f"| `{name}` | {meaning} | {'; '.join(parameters) or 'none'} |")
    return "\n".join(lines)


def with_table(text: str) -> str:
    """The guide with its table replaced by the present one.

    Raises:
        ValueError: the guide has lost the lines that mark the table.
    """
    head, found, rest = text.partition(BEGIN)
    _, closed, tail = rest.partition(END)
    if not found or not closed:
        raise ValueError(f"{TABLE.name} has lost the lines {BEGIN!r} and {END!r}")
    return f"{head}{BEGIN}\n\n{table()}\n\n{END}{tail}"


def _of_model(model: type[BaseModel], section: str, prefix: str) -> Iterator[Setting]:
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=False)
        if isinstance(default, BaseModel):
            yield from _of_model(type(default), name, f"{prefix}{name.upper()}__")
        elif isinstance(default, LearningConfig):
            yield from _of_learning(name, f"{prefix}{name.upper()}__")
        else:
            meaning = _one_line(field.description or "") + _allowed(field.annotation)
            yield Setting(section, prefix + name.upper(), _written(default), meaning)


def _of_learning(section: str, prefix: str) -> Iterator[Setting]:
    meanings = _docstrings_of_fields(LearningConfig)
    for field in dataclasses.fields(LearningConfig):
        meaning = _one_line(meanings.get(field.name, ""))
        default = getattr(LearningConfig(), field.name)
        yield Setting(section, prefix + field.name.upper(), _written(default), meaning)


def _docstrings_of_fields(owner: type) -> dict[str, str]:
    """The string that follows each annotated field in the source of a class."""
    body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
    if not isinstance(body, ast.ClassDef):
        raise ValueError(f"{owner} is no class")
    found = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            found[field.target.id] = str(text.value.value)
    return found


def _allowed(annotation: Any) -> str:
    """The values that a setting may have, where they can be named."""
    if get_origin(annotation) is not Literal:
        return ""
    return f" ({', '.join(f'`{value}`' for value in get_args(annotation))})"


def _written(default: Any) -> str:
    """A default as one would write it in the environment."""
    if default is None:
        return "unset"
    if isinstance(default, dict | list | tuple):
        return f"`{json.dumps(default)}`"
    return f"`{default}`"


def _one_line(text: str) -> str:
    line = " ".join(text.split()).replace("|", "\\|")
    first = line[:1].upper() if line[:1].isascii() else line[:1]  # λ is a name, Λ another
    return first + line[1:].rstrip(".")


def main() -> None:
    """Write the guide's table anew."""
    TABLE.write_text(with_table(TABLE.read_text()))


if __name__ == "__main__":
    main()
