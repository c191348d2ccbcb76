"""The pages as a browser shows them: keyboard, scripts that must not run, no script at all, colours, contrast."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.pages.conftest import RUN
from tests.pages.served import token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, Page
    from playwright.sync_api import StorageState as Session


MODEL = "/ui/models/vision/digit-reader"
HOSTILE = "/ui/models/lab/hostile"
DIFF = "/diff?from=1.0.0&to=1.1.0"
PAGES = (
    "/ui/models",
    "/ui/search?q=digit",
    "/ui/search?q=metrics.accuracy >> 0.9",
    MODEL,
    f"{MODEL}/versions/1.2.0",
    "/ui/approvals",
    "/ui/audit",
    "/ui/actions/deploy?model=health/tumour-screening&version=2.0.0&environment=prod",
    "/ui/models/vision/digit-reder",
)
HOSTILE_PAGES = (
    "/ui/models?q=hostile",
    "/ui/search?q=model = lab/hostile",
    "/ui/search?q='\"><script>window.ran = true</script>",
    HOSTILE,
    f"{HOSTILE}/versions",
    f"{HOSTILE}/metrics",
    f"{HOSTILE}/deployments",
    f"{HOSTILE}/versions/1.1.0",
    f"{HOSTILE}{DIFF}",
    "/ui/environments?project=<script>window.ran = true</script>",
    "/ui/environments",
    "/ui/deployments",
    "/ui/actions/deploy?model=lab/hostile&version=1.0.0&environment=staging&reason=<script>window.ran = true</script>",
    "/ui/models/<script>/x",
)

RULES = (Path(__file__).parent / "rules.js").read_text("utf-8")
SCHEMES = "(all) => all.map((each) => each.href || each.src || each.action).filter((uri) => !/^https?:/.test(uri))"
WATCH = """
window.violations = [];
addEventListener("securitypolicyviolation", (each) =>
  window.violations.push(`${each.violatedDirective} ${each.blockedURI}`));
"""


@contextlib.contextmanager
def _opened(browser: Browser, address: str, session: Session | None, **options: Any) -> Iterator[Page]:  # noqa: ANN401
    """Open a window of its own, signed in already, and fail at the end on what the console had to say."""
    context: BrowserContext = browser.new_context(base_url=address, storage_state=session, **options)
    said: list[str] = []
    try:
        context.add_init_script(WATCH)
        page = context.new_page()
        page.on("pageerror", lambda error: said.append(str(error)))
        # That a page is a 404 is said on the console too.
        page.on("console", lambda each: said.append(each.text) if each.type in {"error", "warning"} else None)
        page.on("dialog", lambda each: said.append(f"a dialog: {each.message}"))
        yield page
    finally:
        context.close()
    assert [each for each in said if "the server responded with a status of" not in each] == []


@pytest.fixture(scope="module")
def root(browser: Browser, address: str, git_dir: Path) -> Session:
    """Sign in as an admin, who sees every page."""
    with _opened(browser, address, None) as page:
        page.goto("/ui/sign-in")
        page.get_by_label("Token").fill(token(git_dir, "root"))
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/ui/models")
        return page.context.storage_state()


def _visit(page: Page, path: str) -> None:
    """Open a page, and find everybody able to use it: in light colours and wide, in dark ones and narrow."""
    page.set_viewport_size({"width": 1280, "height": 800})
    page.emulate_media(color_scheme="light")
    page.goto(path)
    assert page.evaluate(RULES) == [], path
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280, path
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate(RULES) == [], f"{path}, dark and narrow"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
    assert page.evaluate("window.violations") == [], path


def test_every_page_can_be_used_by_everybody(browser: Browser, address: str, root: Session) -> None:
    with _opened(browser, address, root, reduced_motion="reduce") as page:
        for path in PAGES:
            _visit(page, path)


def test_what_one_may_do_on_the_board_stands_apart(browser: Browser, address: str, root: Session) -> None:
    with _opened(browser, address, root) as page:
        page.goto("/ui/environments")
        deeds = page.locator(".deed-links").first
        deeds.evaluate("(deeds) => deeds.append(deeds.firstElementChild.cloneNode(true))")
        one, other = (link.bounding_box() for link in deeds.locator(".deed-link").all()[:2])
        assert one is not None
        assert other is not None
        assert one["x"] + one["width"] + 8 <= other["x"] or one["y"] + one["height"] <= other["y"]


def test_the_rules_find_what_they_are_for(browser: Browser, address: str, root: Session) -> None:
    faults = """() => {
        const main = document.querySelector("main");
        main.innerHTML = `<h3>late</h3><input><a href="/"></a><svg></svg><i tabindex="3">a</i><b id="main">b</b>
          <table><thead><tr><th>x</th></tr></thead></table><p aria-describedby="nothing">text</p>
          <p class="pale">pale</p>`;
        main.querySelector(".pale").style.color = "rgb(160, 160, 160)";
        document.documentElement.lang = "";
    }"""
    rules = (
        "lang",
        "heading-one",
        "heading-order",
        "label",
        "name",
        "svg",
        "tabindex",
        "duplicate-id",
        "caption",
        "scope",
    )
    with _opened(browser, address, root) as page:
        page.goto("/ui/models")
        page.evaluate(faults)
        found = " ".join(page.evaluate(RULES))
        assert [each for each in (*rules, "attr-value", "contrast", "inline style") if each not in found] == []


def test_what_people_wrote_is_shown_and_never_run(browser: Browser, address: str, root: Session) -> None:
    with _opened(browser, address, root, reduced_motion="reduce") as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for path in HOSTILE_PAGES:
            _visit(page, path)
            assert page.evaluate("window.ran") is None, path
            outside = (
                "[...document.querySelectorAll('a')].filter((a) => /^(javascript|data|vbscript):/i.test(a.href)).length"
            )
            assert page.evaluate(outside) == 0, path
        page.goto(HOSTILE)
        card = page.locator(".card")
        assert "A card" in card.inner_text()
        assert (
            card.locator("script, img, iframe, form, svg, style, base, meta, [id], [onclick], [href^='/']").count() == 0
        )
        assert card.locator("td strong").inner_text() == "bold"
        page.goto(f"{HOSTILE}/versions/1.1.0")
        assert f"<script>{RUN}</script>" in page.locator("main").inner_text()
        assert [url for url in asked if not url.startswith(address)] == []


def test_the_keyboard_is_enough(browser: Browser, address: str, root: Session) -> None:
    with _opened(browser, address, root) as page:
        page.goto("/ui/models?project=vision")
        page.keyboard.press("Tab")
        focus = "document.activeElement"
        assert page.evaluate(f"{focus}.className") == "skip"
        assert page.evaluate(f"{focus}.getBoundingClientRect().top") >= 0
        page.keyboard.press("Enter")
        assert page.evaluate(f"{focus}.id") == "main"
        for _ in range(30):
            page.keyboard.press("Tab")
            assert page.evaluate(f"getComputedStyle({focus}).outlineStyle") != "none"
            if page.evaluate(f"{focus}.textContent") == "vision/digit-reader":
                break
        page.keyboard.press("Enter")
        page.wait_for_url(f"**{MODEL}")
        page.get_by_role("link", name="Versions 3").focus()
        page.keyboard.press("Enter")
        page.wait_for_url(f"**{MODEL}/versions")
        page.get_by_role("searchbox", name="Search models and versions").focus()
        page.keyboard.type("metrics.accuracy > 0.97")
        page.keyboard.press("Enter")
        page.wait_for_url("**/ui/search?**")
        assert page.get_by_role("table").count() == 1


def test_everything_can_be_read_and_done_without_scripts(browser: Browser, address: str, root: Session) -> None:
    with _opened(browser, address, root, java_script_enabled=False) as page:
        page.goto(f"{MODEL}/metrics")
        assert page.locator(".plot svg").first.is_visible()
        assert page.locator(".uplot").count() == 0
        page.goto("/ui/actions/deploy?model=vision/digit-reader&version=1.0.0&environment=staging")
        assert page.get_by_role("button", name="Deploy").is_visible()
        page.get_by_label("Reason").fill("To see")
        page.get_by_role("button", name="Preview").click()
        page.wait_for_url("**reason=To+see**")
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/ui/sign-in")


def test_charts_answer_to_the_pointer_and_words_stay_for_who_sees_none(
    browser: Browser, address: str, root: Session
) -> None:
    with _opened(browser, address, root) as page:
        page.goto(f"{MODEL}/metrics")
        page.locator(".uplot").nth(2).wait_for()
        assert page.locator(".uplot").count() == 3
        assert page.get_by_role("img", name="accuracy over 3 versions").count() == 1
        page.locator(".uplot .u-over").first.hover()
        page.locator(".told", has_text="1.1.0: 0.9756").first.wait_for()


def test_colours_follow_the_system_until_somebody_chooses(browser: Browser, address: str, root: Session) -> None:
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    with _opened(browser, address, root, color_scheme="dark") as page:
        page.goto("/ui/models")
        dark = page.evaluate(ground)
        page.get_by_role("button", name="Light").click()
        page.wait_for_load_state()
        page.locator("html[data-theme=light]").wait_for()
        light = page.evaluate(ground)
        assert light != dark
        page.goto(MODEL)
        assert page.evaluate(ground) == light
        assert page.get_by_role("button", name="Light").get_attribute("aria-pressed") == "true"


def test_a_wrong_token_is_told_to_whoever_cannot_see(browser: Browser, address: str) -> None:
    with _opened(browser, address, None) as page:
        page.goto("/ui/approvals")
        page.get_by_label("Token").fill("gitreg_wrong")
        page.get_by_role("button", name="Sign in").click()
        alert = page.get_by_role("alert")
        alert.wait_for()
        assert "no whole token" in alert.inner_text()
        assert page.get_by_label("Token").get_attribute("aria-invalid") == "true"
        assert page.evaluate(RULES) == []
