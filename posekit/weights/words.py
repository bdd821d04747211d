"""Names out of files, made fit for a message: short, few and printable."""

from typing import Any

_SHOWN, _LONGEST = 4, 120  # names in a message, letters of a name


def short(text: str, longest: int = _LONGEST) -> str:
    """The start of a text that may be long, without unprintable letters."""
    shown = "".join(letter for letter in text[:longest] if letter.isprintable())
    return shown + "..." * (len(text) > longest)


def few(names: list[str]) -> str:
    """The first of many names."""
    shown = [short(name) for name in names[:_SHOWN]]
    return ", ".join(shown) + (", ..." if len(names) > _SHOWN else "")


def label(key: Any) -> str:
    """A key in words; one that is no text may be endless when written out."""
    return short(key) if isinstance(key, str) else f"a key of type {type(key).__name__}"
