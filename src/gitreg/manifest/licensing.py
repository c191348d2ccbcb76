"""Read what somebody writes as the licence of a model, before it gets into a manifest."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from gitreg.errors import InvalidError
from gitreg.names import did_you_mean

# What somebody may have meant who mistyped it; which ids there are, `packaging` knows.
_USUAL = (
    "Apache-2.0",
    "MIT",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "MPL-2.0",
    "EUPL-1.2",
    *(
        f"{name}-{version}"
        for name in ("GPL-2.0", "GPL-3.0", "LGPL-3.0", "AGPL-3.0")
        for version in ("only", "or-later")
    ),
    *(f"CC-{terms}-4.0" for terms in ("BY", "BY-SA", "BY-NC", "BY-ND", "BY-NC-SA", "BY-NC-ND")),
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "Unlicense",
)
_JOINING = frozenset({"and", "or", "with", "(", ")"})
_MOST = 1000  # characters; more are no line of a manifest


class License(NamedTuple):
    """A licence as a manifest should say it, and what is odd about it."""

    text: str
    notes: tuple[str, ...] = ()


@lru_cache(maxsize=256)
def read_license(text: str) -> License:
    """Read an SPDX expression and write its ids as SPDX does; InvalidError where it is none.

    An id that SPDX does not know is noted and stays: there are licences of models that it has not taken up. The gate
    takes any text, as it always did.
    """
    if len(text) > _MOST:
        return License(text)
    words = text.replace("(", " ( ").replace(")", " ) ").split()
    joined, strange = list[str](), list[str]()
    for before, word in zip(["", *words], words, strict=False):
        is_exception = before.lower() == "with"
        stand_in = "Classpath-exception-2.0" if is_exception else "MIT"
        is_known = word.lower() in _JOINING or _written(f"MIT WITH {word}" if is_exception else word) is not None
        joined.append(word if is_known else stand_in)
        strange += [] if is_known else [word]
    written = _written(" ".join(joined))
    if written is None:
        near = did_you_mean(text, _USUAL)
        raise InvalidError(
            f"license: {text[:80]!r} is no SPDX expression",
            hint=f"did you mean {near}?"
            if near
            else "as in Apache-2.0, or MIT OR Apache-2.0; your own: LicenseRef-NAME",
        )
    return License(text, tuple(map(_unknown, strange))) if strange else License(written)


def _written(expression: str) -> str | None:
    """Write an expression as SPDX does; None where it is none, or has an id that SPDX does not know."""
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    try:
        return canonicalize_license_expression(expression)
    except InvalidLicenseExpression:
        return None


def _unknown(word: str) -> str:
    near = did_you_mean(word, _USUAL)
    meant = f"did you mean {near}?" if near else "one of your own is written LicenseRef-NAME, https://spdx.org/licenses"
    return f"license: SPDX knows no {word!r}; {meant}"
