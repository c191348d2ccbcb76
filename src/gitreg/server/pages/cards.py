"""Show a model's card: Markdown of whoever may update the model, made harmless."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

MOST = 32 << 10
"""Characters of a card that are shown: some patterns take a parser time that grows with the square of the length."""

_LOWER = 1  # the page has the heading above the card's
_DEEPEST = 6
_TAGS = {
    *("a", "abbr", "b", "blockquote", "br", "code", "dd", "del", "details", "div", "dl", "dt", "em", "hr", "i", "kbd"),
    *("h2", "h3", "h4", "h5", "h6", "li", "ol", "p", "pre", "s", "strong", "sub", "summary", "sup"),
    *("table", "tbody", "td", "th", "thead", "tr", "ul"),
}
_ATTRIBUTES = {"a": {"href", "title"}, "th": {"align"}, "td": {"align"}, "ol": {"start"}, "abbr": {"title"}}
_SCHEMES = {"http", "https", "mailto"}


class Card(NamedTuple):
    """A card as HTML that may stand in a page as it is, and whether some of it was left out."""

    html: str
    is_cut: bool


@lru_cache(maxsize=64)
def rendered(text: str) -> Card:
    """Render a card: no scripts, styles, forms, images or identifiers, links only to the web and to mail."""
    import nh3

    shown = text[:MOST]
    clean = nh3.clean(
        _markdown().render(shown),
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes=_SCHEMES,
        link_rel="noopener noreferrer nofollow ugc",
        attribute_filter=_whole_links,
    )
    return Card(clean, len(shown) < len(text))


def _whole_links(_tag: str, attribute: str, value: str) -> str | None:
    """Leave out links that lead to another page of this server, or to a part of this one."""
    whole = value.strip().lower().startswith(("http://", "https://", "mailto:"))
    return value if attribute != "href" or whole else None


@cache
def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt

    found = MarkdownIt("commonmark", {"html": True, "maxNesting": 20}).enable(["table", "strikethrough"])
    found.core.ruler.push("lower_headings", lambda state: _lower_headings(state.tokens))
    found.add_render_rule("image", _image)
    return found


def _lower_headings(tokens: list[Token]) -> None:
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(_DEEPEST, int(token.tag[1]) + _LOWER)}"


def _image(_self: Any, tokens: list[Token], place: int, _options: Any, _env: Any) -> str:  # noqa: ANN401 - the library's
    """Link to a picture instead of loading it: whoever hosts it would learn who reads the card."""
    from markdown_it.common.utils import escapeHtml

    token = tokens[place]
    source = str(token.attrGet("src") or "")
    return f'<a href="{escapeHtml(source)}">{escapeHtml(token.content or "picture")}</a>'
