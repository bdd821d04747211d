"""Settings: the values of knobs, read by their declared type and refused before any work.

papermill hands over what it was given: it accepts unknown names, checks no type and leaves numbers
such as 1e-3 as text. A notebook's second code cell therefore passes its `globals()` to `check`.
"""

import re
from collections.abc import Mapping, MutableMapping, Sequence
from reprlib import repr as brief
from types import NoneType, UnionType
from typing import Any, Literal, Self, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from ..errors import PosekitError
from ..files.words import near, plain

# Names that IPython and papermill put beside the parameters.
_NOT_OURS = {"In", "Out", "exit", "quit", "open", "PAPERMILL_INPUT_PATH", "PAPERMILL_OUTPUT_PATH"}
_PLAIN = (str, int, float, bool, list, tuple, dict)  # None, "not set here", is never wrong
_NOTHING = ("none", "null", "")
_CHECKED_MARK = "_posekit_checked"


def knob(meaning: str, default: Any = ..., **limits: Any) -> Any:
    """Declare a knob: its meaning, its default if it has one, and limits such as `ge=1`."""
    return Field(default, description=meaning, **limits)


class Settings(BaseModel):
    """Declared knobs; the descriptions of the fields are what errors and tables show."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _read(cls, value: Any, info: ValidationInfo) -> Any:
        return _coerce(cls.model_fields[info.field_name].annotation, value)

    @classmethod
    def made(cls, values: Mapping[str, Any], title: str) -> Self:
        """Settings of these values.

        Raises:
            PosekitError: naming every missing, unknown or impossible value below the title.
        """
        refuse(title, problems(cls, values))
        return cls.model_validate(values)


def check(
    kind: type[Settings], namespace: MutableMapping[str, Any], title: str, wrong: Sequence[str] = ()
) -> dict[str, Any]:
    """The parameters that are set in a notebook; None and the word none are "not set".

    Args:
        kind: declares them.
        namespace: the notebook's `globals()`; a hidden mark is left in it, so that a second call
            in the same kernel knows that other variables exist by then, and refuses only names
            that look like a misspelt parameter.
        title: first line of the error.
        wrong: what is known to be wrong already.

    Raises:
        PosekitError: naming every unknown, mistyped or impossible parameter at once.
    """
    given = _given(kind, namespace)
    found = [*wrong, *_unknown(tuple(kind.model_fields), namespace)]
    refuse(title, found + problems(kind, given, skip_missing=True))
    namespace[_CHECKED_MARK] = True
    return given


def early(kind: type[Settings], namespace: Mapping[str, Any], title: str) -> Any:
    """The parameters that decide which other knobs there are, before `check` knows all of them.

    Raises:
        PosekitError: naming every impossible one below the title.
    """
    return kind.made(_given(kind, namespace), title)


def _given(kind: type[Settings], namespace: Mapping[str, Any]) -> dict[str, Any]:
    fields = kind.model_fields.items()
    return {n: namespace[n] for n, f in fields if is_set(namespace.get(n), f.annotation)}


def refuse(title: str, found: Sequence[str]) -> None:
    """Raise a PosekitError of these problems, one a line below the title, if there are any."""
    if found:
        raise PosekitError("\n  ".join([title, *found]))


def problems(
    kind: type[Settings], values: Mapping[str, Any], skip_missing: bool = False
) -> list[str]:
    """Everything that is wrong with some values, one line each."""
    try:
        kind.model_validate(values)
    except ValidationError as error:
        found = error.errors()
        return [_problem(kind, e) for e in found if not (skip_missing and e["type"] == "missing")]
    return []


def _coerce(kind: Any, value: Any) -> Any:
    """Read what papermill hands over as text, or as the wrong kind of number, by declared type."""
    if get_origin(kind) in (UnionType, Union) and isinstance(value, str):
        if value.strip().lower() in _NOTHING:
            return None
        kind = next(part for part in get_args(kind) if part is not NoneType)
    if get_origin(kind) is Literal and isinstance(value, str):
        options = {plain(str(option)): option for option in get_args(kind)}
        return options.get(plain(value), value)
    if get_origin(kind) is tuple:
        return _coerce_items(kind, value)
    if kind in (int, float) and isinstance(value, bool):
        raise ValueError("must be a number")
    return value.strip() if isinstance(value, str) else value


def _coerce_items(kind: Any, value: Any) -> Any:
    if isinstance(value, str):
        value = re.findall(r"[^][()\s,;\"']+", value)
    elif isinstance(value, int | float) and get_args(kind)[-1] is Ellipsis:
        value = [value]
    if isinstance(value, list | tuple) and any(isinstance(item, bool) for item in value):
        raise ValueError("must hold numbers")
    return value


def is_set(value: Any, kind: Any = None) -> bool:
    """Whether a parameter is given; None, and the word, say that it is not.

    Args:
        value: of the parameter.
        kind: its declared type; where the word none is a value of this type, it counts as given.
    """
    word = value.strip().lower() if isinstance(value, str) else None
    if word in _NOTHING:
        return NoneType in get_args(kind) or word in get_args(kind)
    return value is not None


def _unknown(names: Sequence[str], namespace: Mapping[str, Any]) -> list[str]:
    found = []
    for name, value in namespace.items():
        if name in names or name in _NOT_OURS or name.startswith("_") or type(value) not in _PLAIN:
            continue
        hint = near(name, names, 0.8)
        if hint or _CHECKED_MARK not in namespace:
            remedy = hint or f": known are {', '.join(names)}"
            gone = "(restart the kernel if it is no longer in the parameters cell)"
            found.append(f"{name}={brief(value)}: unknown parameter{remedy} {gone}")
    return found


def _problem(kind: type[Settings], error: Any) -> str:
    name = str(error["loc"][0])
    if error["type"] == "missing":
        return f"{name}: has {'too few values' if len(error['loc']) > 1 else 'no value'}"
    if error["type"] == "extra_forbidden":
        return f"{name}={brief(error['input'])}: unknown parameter{near(name, kind.model_fields)}"
    message = error["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    item = f" item {error['loc'][1]}" if len(error["loc"]) > 1 else ""
    meaning = kind.model_fields[name].description
    return f"{name}{item}={brief(error['input'])}: {message} ({meaning})"
