"""What a recommendation is made from: one document for each model, in the fields that a search weighs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gitreg.errors import InvalidError
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

# What a model is for stands at the beginning of its card.
LONGEST_CARD = 8_000  # characters whose words are found
LONGEST_MEANT = 2_000  # characters whose meaning is taken
LONGEST_NEED = 1_000  # characters
LONGEST_FRONT = 4_000  # characters of a card in which its front matter has to end
_FRONT = re.compile(r"---\n(.*?)\n---\n", re.DOTALL)
_LISTED = re.compile(r"^languages?:[ \t]*((?:\n *- [^\n]*)+|[^\n]+)$", re.MULTILINE)
_CODE = re.compile(r"\b[a-z]{2}\b")
_WORD = re.compile(r"\w+")
# Words of grammar: they match every card, and would be given as reasons.
_GRAMMAR = frozenset(
    _WORD.findall(
        "a an and any are as at be been before by can could do does for from get had has have how i in into is it its "
        "many more most much my no not of on one or our out should some than that the their then there these they this "
        "those to up was we were what when where which who whom will with without would you your"
    )
)
# ISO 639-1, as model cards and labels write languages; a need names them in English.
_LANGUAGES: Mapping[str, str] = {
    "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech", "cy": "Welsh", "da": "Danish",
    "de": "German", "el": "Greek", "en": "English", "es": "Spanish", "et": "Estonian", "eu": "Basque", "fa": "Persian",
    "fi": "Finnish", "fr": "French", "ga": "Irish", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian",
    "id": "Indonesian", "is": "Icelandic", "it": "Italian", "ja": "Japanese", "ko": "Korean", "lt": "Lithuanian",
    "lv": "Latvian", "mt": "Maltese", "nb": "Norwegian", "nl": "Dutch", "nn": "Norwegian", "no": "Norwegian",
    "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sk": "Slovak", "sl": "Slovenian",
    "sr": "Serbian", "sv": "Swedish", "sw": "Swahili", "ta": "Tamil", "th": "Thai", "tr": "Turkish", "uk": "Ukrainian",
    "ur": "Urdu", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What one model says of itself; `facts` are short: languages, licence, framework, labels."""

    key: str
    name: str
    description: str = ""
    task: str = ""
    facts: tuple[str, ...] = ()
    card: str = ""

    def fields(self) -> tuple[str, str, str, str, str]:
        """Give name, description, task, facts and card as plain words."""
        return (
            apart(self.name),
            self.description,
            apart(self.task),
            " ".join(self.facts),
            self.card[:LONGEST_CARD],
        )

    def text(self) -> str:
        """Give all of it as one text, with the beginning of the card."""
        *short, card = self.fields()
        return ". ".join(field for field in (*short, card[:LONGEST_MEANT]) if field)


def apart(name: str) -> str:
    """Write a name's parts as words: `moderation/gatekeeper-en` is three."""
    return re.sub(r"[/_.-]+", " ", name)


def language(code: str) -> str:
    """Name the language of a code in English; a code that is not known stays what it is."""
    return _LANGUAGES.get(code.strip().lower().split("-")[0], code)


def languages_of(card: str) -> list[str]:
    """Name the languages that the front matter of a card lists, as model hubs write it; codes or nothing is read."""
    front = _FRONT.match(card[:LONGEST_FRONT])
    listed = _LISTED.search(front[1]) if front else None
    return [language(code) for code in _CODE.findall(listed[1])] if listed else []


def words(need: str, *, every: bool = False) -> list[str]:
    """Give the words of a need that carry meaning, in lower case, each once; all of them where none does."""
    if len(need) > LONGEST_NEED:
        raise InvalidError(f"the need is {len(need)} characters long", hint=f"allowed: {LONGEST_NEED:,}")
    found = list(dict.fromkeys(_WORD.findall(need.lower())))
    if not found:
        raise InvalidError("the need has no words", hint='gitreg recommend "classify toxic comments in Finnish"')
    return found if every else [word for word in found if word not in _GRAMMAR] or found
