"""The rules of a request: what is kept out, asked for or boosted."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from service.api.schemas.fields import MAX_ID_CHARS, Shape
from service.domain.rules import ATTRIBUTE, Rule, comparable

MAX_RULES = 100
MAX_RULE_VALUES = 1_000
_FIELD = r"^(item_id|categories|tags|attributes\.[^\x00-\x1f\x7f-\x9f]{1,256})$"

RuleField = Annotated[
    str,
    StringConstraints(pattern=_FIELD),
    Field(description="`item_id`, `categories`, `tags` or `attributes.NAME`"),
]
RuleValue = (
    Annotated[str, StringConstraints(max_length=MAX_ID_CHARS)]
    | bool
    | int
    | Annotated[float, Field(allow_inf_nan=False)]
)


class RuleIn(Shape):
    """What is to be done with items that have any of the values in the field."""

    field: RuleField
    values: list[RuleValue] = Field(min_length=1, max_length=MAX_RULE_VALUES)
    bias: float = Field(
        allow_inf_nan=False,
        description="above 0: the item's place is divided by it; below 0: only such items; 0: none",
    )

    @model_validator(mode="after")
    def _check_values(self) -> Self:
        if not self.field.startswith(ATTRIBUTE) and not all(
            isinstance(value, str) for value in self.values
        ):
            raise PydanticCustomError("rule_values", "values of this field are strings")
        return self

    def rule(self) -> Rule:
        return Rule(self.field, frozenset(comparable(value) for value in self.values), self.bias)
