"""Tell what a word means in YAML: by the core schema of YAML 1.2, and to readers of YAML 1.1."""

from __future__ import annotations

import re
from typing import Final

from gitreg.errors import InvalidError
from gitreg.wire.limits import MAX_INTEGER, MAX_NUMBER, MIN_INTEGER

# https://yaml.org/spec/1.2.2/#103-core-schema
_WORDS: Final = dict.fromkeys(("", "~", "null", "Null", "NULL")) | {
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
_FIRST: Final = frozenset("-+.0123456789")
_NUMBER: Final = (
    r"([-+]?[0-9]+)|(0o[0-7]+)|(0x[0-9a-fA-F]+)|([-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?)"
)
_NOT_FINITE: Final = frozenset(
    [*(sign + word for sign in ("", "-", "+") for word in (".inf", ".Inf", ".INF")), ".nan", ".NaN", ".NAN"]
)
_BASES: Final = {1: 10, 2: 8, 3: 16}

# Words that YAML 1.1 reads as something else: https://yaml.org/type/. Ruby's commas are in as well.
_WORDS_1_1: Final = frozenset(["y", "yes", "n", "no", "on", "off", "true", "false", "null", "~", "<<", "="])
_NUMBER_1_1: Final = (
    r"[-+]?[0-9][0-9_,]*|[-+]?0[xX][0-9a-fA-F_,]+|[-+]?0[oO]?[0-7_,]+|[-+]?0[bB][01_,]+"
    r"|[-+]?(?:[0-9][0-9_,]*)?\.[0-9_,]*(?:[eE][-+]?[0-9]*)?|[-+]?[0-9][0-9_,]*[eE][-+]?[0-9]*"
    r"|[-+]?[0-9][0-9_,]*(?::[0-9_,]+)+(?:\.[0-9_,]*)?|[-+]?\.(?:[iI][nN][fF]|[nN][aA][nN])"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*"
)
_TIMESTAMP: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?Z"

# What no text may hold, written raw or as an escape: controls but tab and line ends, halves of surrogate pairs.
FORBIDDEN: Final = "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]"
# What may not stand in a file as it is: YAML 1.1 breaks lines at some of these; a byte order mark cannot be seen.
FORBIDDEN_RAW: Final = f"{FORBIDDEN}|[\u2028\u2029\ufeff]|\r(?!\n)"


def resolve(text: str) -> str | float | bool | None:
    """Read a word that stands without quotes.

    Raises InvalidError, without a place, for numbers that are not finite, too long, or wider than 64 bits.
    """
    if text[:1] not in _FIRST:
        return _WORDS.get(text, text)
    if text in _NOT_FINITE:
        raise InvalidError(f"{text} is not a finite number", hint=f'if it is text, write it in quotes: "{text}"')
    match = re.fullmatch(_NUMBER, text)
    if match is None or match.lastindex is None:
        return text
    if len(text) > MAX_NUMBER:
        raise InvalidError(
            f"the number {text[:20]}… has {len(text)} characters, and {MAX_NUMBER} are allowed",
            hint="if it is text, write it in quotes",
        )
    base = _BASES.get(match.lastindex)
    return _float(text) if base is None else _integer(text, base)


def _integer(text: str, base: int) -> int:
    number = int(text if base == _BASES[1] else text[2:], base)
    if not MIN_INTEGER <= number <= MAX_INTEGER:
        raise InvalidError(
            f"the number {text} does not fit in 64 bits", hint=f'if it is text, write it in quotes: "{text}"'
        )
    return number


def _float(text: str) -> float:
    number = float(text)
    if number - number != 0:  # infinity
        raise InvalidError(
            f"the number {text} is too large to be read", hint=f'if it is text, write it in quotes: "{text}"'
        )
    return number


def means_itself(text: str) -> bool:
    """Whether readers of YAML 1.1 and 1.2 alike take an unquoted word for text.

    The times of RFC 3339 in UTC count as text: readers of YAML 1.1 know them for what they are.
    """
    if text[:1] not in _FIRST:
        return text != "" and text.lower() not in _WORDS_1_1
    return not re.fullmatch(_NUMBER_1_1, text) or bool(re.fullmatch(_TIMESTAMP, text))
