from __future__ import annotations

import pytest

from gitreg.errors import InvalidError
from gitreg.recommend.documents import (
    LONGEST_CARD,
    LONGEST_FRONT,
    LONGEST_MEANT,
    LONGEST_NEED,
    Document,
    apart,
    language,
    languages_of,
    words,
)


def test_words_of_grammar_are_left_out_and_each_word_comes_once() -> None:
    assert words("How do I find the Spam in a forum, spam?") == ["find", "spam", "forum"]


def test_a_need_of_grammar_alone_keeps_its_words() -> None:
    assert words("to be or not to be") == ["to", "be", "or", "not"]


def test_every_word_can_be_asked_for() -> None:
    assert words("the spam", every=True) == ["the", "spam"]


@pytest.mark.parametrize("need", ["", "  ", "!?"])
def test_a_need_without_words_is_refused_with_an_example(need: str) -> None:
    with pytest.raises(InvalidError, match=r"no words; gitreg recommend"):
        words(need)


def test_a_need_is_bounded() -> None:
    assert words("a" * LONGEST_NEED)
    with pytest.raises(InvalidError, match="1001 characters long; allowed: 1,000"):
        words("a" * (LONGEST_NEED + 1))


def test_the_parts_of_a_name_are_words() -> None:
    assert apart("risk/fraud-detector_v2.large") == "risk fraud detector v2 large"


@pytest.mark.parametrize(
    ("code", "name"),
    [("fi", "Finnish"), ("FI", "Finnish"), ("pt-BR", "Portuguese"), ("xx", "xx"), ("python", "python")],
)
def test_codes_of_languages_are_told_by_name(code: str, name: str) -> None:
    assert language(code) == name


def test_the_text_of_a_document_has_what_is_there_and_a_bounded_part_of_its_card() -> None:
    document = Document(key="a", name="risk/scorer", facts=("Finnish", "MIT"), card="x" * 99_999)
    assert document.text() == "risk scorer. Finnish MIT. " + "x" * LONGEST_MEANT
    assert document.fields()[-1] == "x" * LONGEST_CARD


@pytest.mark.parametrize(
    ("front", "languages"),
    [
        ("language: fi", ["Finnish"]),
        ("language: [fi, 'sv']", ["Finnish", "Swedish"]),
        ("license: mit\nlanguage:\n- fi\n  - sv\ntags:\n- de", ["Finnish", "Swedish"]),
        ("languages: multilingual", []),
        ("language:", []),
        ("other_language: fi", []),
        ("license: mit", []),
    ],
)
def test_languages_are_read_from_the_front_matter_of_a_card(front: str, languages: list[str]) -> None:
    assert languages_of(f"---\n{front}\n---\nlanguage: de\n") == languages


def test_a_card_without_front_matter_lists_no_languages() -> None:
    assert languages_of("language: fi") == []
    assert languages_of("---\nlanguage: fi\n") == []
    assert languages_of("---\nlanguage: fi\n" + "#" * LONGEST_FRONT + "\n---\n") == []
