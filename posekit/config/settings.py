"""Settings: the values of knobs, read by their declared type and refused before any work.

papermill hands over what it was given: it accepts unknown names, checks no type and leaves numbers
such as 1e-3 as text. A notebook's second code cell therefore passes its `globals()` to `check`.
"""

import re
from collections.abc import MutableMapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from ..errors import PosekitError
from ..files.words import near

# Names that IPython and papermill put beside the parameters.
_NOT_OURS = {"In", "Out", "exit", "quit", "open", "PAPERMILL_INPUT_PATH", "PAPERMILL_OUTPUT_PATH"}
_PLAIN = (str, int, float, bool, list, tuple, dict)
_NOTHING = ("none", "null", "")
_CHECKED_MARK = "_posekit_checked"


class Settings(BaseModel):
    """Declared knobs; the descriptions of the fields are what errors and tables show."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _coerce(cls, value: Any, info: ValidationInfo) -> Any:
        return coerce(cls.model_fields[info.field_name].annotation, value)


def check(
    kind: type[Settings],
    namespace: MutableMapping[str, Any],
    title: str,
    wrong: Sequence[str] = (),
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
    names = tuple(kind.model_fields)
    given = {n: namespace[n] for n in names if not _unset(kind, n, namespace.get(n))}
    found = [*wrong, *_unknown(names, namespace, _CHECKED_MARK not in namespace)]
    found += problems(kind, given, skip_missing=True)
    if found:
        raise PosekitError("\n  ".join([title, *found]))
    namespace[_CHECKED_MARK] = True
    return given


def problems(kind: type[Settings], values: dict[str, Any], skip_missing: bool = False) -> list[str]:
    """Everything that is wrong with some values, one line each."""
    try:
        kind.model_validate(values)
    except ValidationError as error:
        found = [e for e in error.errors() if not (skip_missing and e["type"] == "missing")]
        return [_problem(kind, e) for e in found]
    return []


def coerce(kind: Any, value: Any) -> Any:
    """Read what papermill hands over as text, or as the wrong kind of number, by declared type."""
    if get_origin(kind) in (UnionType, Union) and isinstance(value, str):
        if value.strip().lower() in _NOTHING:
            return None
        kind = next(part for part in get_args(kind) if part is not NoneType)
    if get_origin(kind) is Literal and isinstance(value, str):
        options = {str(option).lower(): option for option in get_args(kind)}
        return options.get(value.strip().lower(), value)
    if get_origin(kind) is tuple:
        return _coerce_items(kind, value)
    if kind in (int, float) and isinstance(value, bool):
        raise ValueError("must be a number")
    return value.strip() if isinstance(value, str) else value


def _coerce_items(kind: Any, value: Any) -> Any:
    if isinstance(value, str):
        items = re.split(r"[\s,;]+", value.strip(" []()"))
        value = [bare for item in items if (bare := item.strip("\"'"))]
    elif isinstance(value, int | float) and get_args(kind)[-1] is Ellipsis:
        value = [value]
    if isinstance(value, list | tuple) and any(isinstance(item, bool) for item in value):
        raise ValueError("must hold numbers")
    return value


def is_set(value: Any) -> bool:
    """Whether a parameter is given: None, and the word, say that it is not."""
    return not (value is None or (isinstance(value, str) and value.strip().lower() in _NOTHING))


def _unset(kind: type[Settings], name: str, value: Any) -> bool:
    """None says "not set here"; so does the word, except where None is a value of its own."""
    if isinstance(value, str) and value.strip().lower() in _NOTHING:
        meanings = get_args(kind.model_fields[name].annotation)
        return NoneType not in meanings and value.strip().lower() not in meanings
    return value is None


def _unknown(names: Sequence[str], namespace: dict[str, Any], first: bool) -> list[str]:
    found = []
    for name, value in namespace.items():
        if name in names or name in _NOT_OURS or name.startswith("_") or type(value) not in _PLAIN:
            continue
        hint = near(name, names, 0.8)
        if first or hint:
            remedy = "" if hint else f": known are {', '.join(names)}"
            gone = "(restart the kernel if it is no longer in the parameters cell)"
            found.append(f"{name}={_brief(value)}: unknown parameter{hint}{remedy} {gone}")
    return found


def _problem(kind: type[Settings], error: Any) -> str:
    name = str(error["loc"][0])
    if error["type"] == "missing":
        return f"{name}: has no value"
    if error["type"] == "extra_forbidden":
        return f"{name}={_brief(error['input'])}: unknown parameter{near(name, kind.model_fields)}"
    message = error["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    item = f" item {error['loc'][1]}" if len(error["loc"]) > 1 else ""
    meaning = kind.model_fields[name].description
    return f"{name}{item}={_brief(error['input'])}: {message} ({meaning})"


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
