"""Make the pictures of docs/pages.md: the pages of the example registry, as Chromium shows them.

    python tools/screenshots.py [--output docs/images]

It needs the packages of `make test` and Debian's chromium. The numbers come from the example alone.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.pages.served import example, pages_of, token  # noqa: E402 - the path is set above

if TYPE_CHECKING:
    from playwright.sync_api import Browser

MOST_BYTES = 150_000
WIDE, NARROW = (1280, 800), (390, 780)
MODEL = "/ui/models/vision/digit-reader"
ROLLBACK = "/ui/actions/rollback?model=vision/digit-reader&environment=prod&reason=Scans are well cropped after all"


class Picture(NamedTuple):
    """A page to look at: by whom, in which colours and on how large a screen."""

    name: str
    path: str
    user: str = "carol"
    scheme: str = "light"
    size: tuple[int, int] = WIDE


PICTURES = (
    Picture("models", "/ui/models"),
    Picture("model", MODEL),
    Picture("version", f"{MODEL}/versions/1.2.0"),
    Picture("version-dark", f"{MODEL}/versions/1.2.0", scheme="dark"),
    Picture("metrics", f"{MODEL}/metrics"),
    Picture("diff", f"{MODEL}/diff?from=1.0.0&to=1.1.0"),
    Picture("search", "/ui/search?q=metrics.accuracy >> 0.95"),
    Picture("environments", "/ui/environments"),
    Picture("deployments", "/ui/deployments"),
    Picture("approvals", "/ui/approvals", user="dana"),
    Picture("rollback", ROLLBACK),
    Picture("phone", "/ui/models", size=NARROW),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images")
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gitreg-") as folder, contextlib.ExitStack() as stack:
        os.environ |= {"HOME": folder, "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "x", "GIT_AUTHOR_EMAIL": "x@y.z"}
        git_dir = example(Path(folder))
        address = stack.enter_context(pages_of(git_dir))
        chromium = stack.enter_context(sync_playwright()).chromium
        browser = chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for picture in PICTURES:
            _take(browser, picture, (address, token(git_dir, picture.user)), output / f"{picture.name}.png")
        browser.close()


def _take(browser: Browser, picture: Picture, known: tuple[str, str], output: Path) -> None:
    """Sign in, look, and keep what is seen without scrolling."""
    address, secret = known
    size = dict(zip(("width", "height"), picture.size, strict=True))
    context = browser.new_context(base_url=address, color_scheme=picture.scheme, viewport=size)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto("/ui/sign-in")
    page.get_by_label("Token").fill(secret)
    page.get_by_role("button", name="Sign in").click()
    page.goto(picture.path)
    page.evaluate("document.fonts.ready")
    page.screenshot(path=output)
    context.close()
    taken = output.stat().st_size
    print(f"{output.name}: {taken:,} bytes")
    if taken > MOST_BYTES:
        sys.exit(f"{output.name} is larger than {MOST_BYTES:,} bytes: show less of it")


if __name__ == "__main__":
    main()
