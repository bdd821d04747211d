"""Names out of files, made fit for a message: short, few and printable."""

import difflib
import re
import reprlib
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import ValidationError

_SHOWN, _LONGEST = 5, 120  # names in a message, letters of a name


def short(text: str, longest: int = _LONGEST) -> str:
    """The start of a text that may be long, without unprintable letters."""
    shown = "".join(letter for letter in text[:longest] if letter.isprintable())
    return shown + "..." * (len(text) > longest)


def few(names: Sequence[str]) -> str:
    """The first of many names, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(short(name) for name in names[:_SHOWN]) + more


def label(key: Any) -> str:
    """A key in words; one that is no text may be endless when written out."""
    return short(key) if isinstance(key, str) else f"a key of type {type(key).__name__}"


def readable(name: str) -> str:
    """A file's name with codes in place of the bytes that are no UTF-8."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def plain(name: str) -> str:
    """Letters and digits alone, in lower case: names that are written in many ways."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def near(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The known names that look like this one, as the end of a sentence; empty if none does."""
    written = {key.lower(): key for key in known}
    found = difflib.get_close_matches(name.lower(), written, 3, cutoff)
    return f": did you mean {' or '.join(written[key] for key in found)}?" if found else ""


def mistakes(error: ValidationError) -> str:
    """The fields that pydantic refuses, with what is wrong with each."""
    return "; ".join(
        f"{'.'.join(map(str, e['loc']))}={reprlib.repr(e.get('input'))}: {e['msg']}"
        for e in error.errors(include_url=False)
    )
