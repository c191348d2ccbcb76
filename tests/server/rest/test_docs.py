from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tests.gate_hooks.support import run
from tests.server.serving import HOST

if TYPE_CHECKING:
    import pytest

    from tests.server.rest.client import Rest

PAGE = Path(__file__).parents[3] / "docs" / "rest.md"


def test_the_examples_of_the_page_work(rest: Rest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"^```bash\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) > 4
    script = tmp_path / "walk.sh"
    script.write_text("set -euo pipefail\n" + "\n".join(blocks))
    monkeypatch.setenv("SERVER", f"http://{HOST}:{rest.port}")
    monkeypatch.setenv("TOKEN", rest.token("root"))
    monkeypatch.setenv("no_proxy", "*")
    run(["bash", str(script)], tmp_path)
    row = rest.ask("GET", "/deployments/staging/risk/walk").json()
    assert row["version"] == "1.4.0"
    shown = rest.ask("GET", "/models/risk/walk").json()
    assert (shown["task"], shown["aliases"]) == ("tabular-classification", {"champion": "1.4.0"})


def test_the_page_names_every_path(rest: Rest) -> None:
    page = PAGE.read_text()
    for path in rest.ask("GET", "/openapi.json").json()["paths"]:
        last = [part for part in path.split("/") if part and "{" not in part][-1:] or ["/"]
        assert last[0] in page, path
