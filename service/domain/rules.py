"""Rules that a request brings along: what to keep out, what to ask for, what is worth more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

ITEM_ID, CATEGORIES, TAGS = "item_id", "categories", "tags"
ATTRIBUTE = "attributes."
"""What a rule may look at; the last is followed by the name of the attribute."""

Value = str | int | float | tuple[bool]
"""A JSON scalar, made so that Python compares as JSON does."""


def comparable(value: str | int | float | bool) -> Value:
    """`value` such that 1 equals 1.0, as in JSON, and does not equal true."""
    return (value,) if isinstance(value, bool) else value


@dataclass(frozen=True, slots=True)
class Rule:
    """What is to be done with items that have any of `values` in `field`.

    A positive bias boosts (above 1) or holds back (below 1), a negative one asks for them, 0 keeps
    them out.

    Source: the business rules of the Universal Recommender (ActionML), which has the three
    meanings of a bias.
    Deviations: what a boost multiplies, see `service.serving.boosts`; a negative bias has no size.
    """

    field: str
    values: frozenset[Value]
    bias: float


Wanted = tuple[str, frozenset[Value]]
"""A field and values, any of which an item has."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a request by what they do, made once for all its answers."""

    excluded: tuple[Wanted, ...] = ()
    """Each field once; what matches any is out."""
    required: tuple[Wanted, ...] = ()
    """Each field once; what does not match all is out."""
    biases: tuple[float, ...] = ()
    """Of the rules that boost or hold back."""
    boosts: Mapping[str, Mapping[Value, Sequence[int]]] = field(default_factory=dict)
    """By field and value, which of `biases` are meant."""

    @classmethod
    def of(cls, rules: Iterable[Rule]) -> Rules:
        """Sort them, and merge those of one field that keep out, and those that ask."""
        given = tuple(rules)
        if not given:
            return NO_RULES
        boosting = [rule for rule in given if rule.bias > 0 and rule.bias != 1]
        return cls(
            excluded=_merged(rule for rule in given if rule.bias == 0),
            required=_merged(rule for rule in given if rule.bias < 0),
            biases=tuple(rule.bias for rule in boosting),
            boosts=_by_value(boosting),
        )

    @property
    def item_ids(self) -> frozenset[str] | None:
        """The only items that may stand in an answer, where rules ask for some by name."""
        for name, values in self.required:
            if name == ITEM_ID:
                return frozenset(value for value in values if isinstance(value, str))
        return None


NO_RULES = Rules()


def _merged(rules: Iterable[Rule]) -> tuple[Wanted, ...]:
    values: dict[str, set[Value]] = {}
    for rule in rules:
        values.setdefault(rule.field, set()).update(rule.values)
    return tuple((field, frozenset(found)) for field, found in values.items())


def _by_value(rules: Iterable[Rule]) -> dict[str, dict[Value, list[int]]]:
    found: dict[str, dict[Value, list[int]]] = {}
    for number, rule in enumerate(rules):
        meant = found.setdefault(rule.field, {})
        for value in rule.values:
            meant.setdefault(value, []).append(number)
    return found
