"""What somebody writes as a licence becomes an SPDX expression, or says why it is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gitreg.errors import InvalidError
from gitreg.manifest.licensing import read_license
from tests.registries import bare, forge, opened, request, template

if TYPE_CHECKING:
    from gitreg.registry import Registry

__all__ = ["bare", "forge", "opened", "template"]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Apache-2.0", "Apache-2.0"),
        (" mit ", "MIT"),
        ("mit or (apache-2.0 and cc-by-4.0)", "MIT OR (Apache-2.0 AND CC-BY-4.0)"),
        ("GPL-2.0-only WITH classpath-exception-2.0", "GPL-2.0-only WITH Classpath-exception-2.0"),
        ("GPL-2.0+", "GPL-2.0+"),
        ("LicenseRef-our-terms", "LicenseRef-our-terms"),
    ],
)
def test_an_expression_is_written_as_spdx_does(text: str, written: str) -> None:
    assert read_license(text) == (written, ())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Apache2.0", "no 'Apache2.0'; did you mean Apache-2.0?"),
        ("mit or llama3", "no 'llama3'; one of your own is written LicenseRef-NAME"),
        ("MIT WITH no-warranty", "no 'no-warranty'; one"),
        ("None", "no 'None'; one"),
    ],
)
def test_an_id_that_spdx_does_not_know_is_kept_and_noted(text: str, said: str) -> None:
    kept, [note] = read_license(text)
    assert (kept, said in note) == (text, True)


@pytest.mark.parametrize("text", ["AND (", "MIT MIT", "(MIT", "MIT WITH", "WITH MIT", "()", " ", "(" * 999, "MIT AND"])
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match=r"is no SPDX expression; "):
        read_license(text)


def test_a_near_miss_is_named() -> None:
    with pytest.raises(InvalidError, match=r"did you mean Apache-2\.0\?"):
        read_license("Apache 2.0")


def test_registering_and_updating_ask_for_one(bare: Registry) -> None:
    with pytest.raises(InvalidError, match="is no SPDX expression"):
        bare.register(request("risk/new", "1.0.0", license="see the terms"))
    written = bare.register(request("risk/new", "1.0.0", license="Apache2.0"))
    assert [note for note in written.notes if "did you mean Apache-2.0?" in note]
    bare.update("risk/new@1.0.0", license="apache-2.0")
    assert bare.show("risk/new@1.0.0").manifest.license == "Apache-2.0"
    with pytest.raises(InvalidError, match="is no SPDX expression"):
        bare.update("risk/new@1.0.0", license="AND (")
