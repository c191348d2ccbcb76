from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from gitreg.errors import ConflictError, DeniedError, InvalidError, NotFoundError, UnavailableError
from gitreg.gate import Code, Violation
from gitreg.git.http import RECEIVE, Asked
from gitreg.git.serve import Served
from gitreg.server.githttp import Ending
from gitreg.server.operations.metrics import SHARED, Meters, outcome_of, resident_bytes, share_counts

if TYPE_CHECKING:
    from pathlib import Path

_WORKER = """
from gitreg.server.operations.metrics import Meters
meters = Meters()
meters.begun()
meters.answered("GET", "/models", 200, 0.01)
meters.wrote("refused", ["access-denied"])
meters.begun()
print(meters.text()[0].decode())
"""


def test_workers_count_together(tmp_path: Path) -> None:
    environment = dict(os.environ)
    (tmp_path / "counts").mkdir()
    (tmp_path / "counts" / "counter_1.db").write_bytes(b"left behind")
    share_counts(tmp_path / "counts", environment)
    assert environment[SHARED] == str(tmp_path / "counts")
    texts = [
        subprocess.run(
            [sys.executable, "-c", _WORKER], env=environment, capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    ]
    counts = [re.findall(r'^gitreg_http_requests_total\{.*"/models".*\} (\d+)', text, re.MULTILINE) for text in texts]
    assert counts == [["1"], ["2"]]
    assert 'gitreg_refusals_total{code="access-denied"} 2.0' in texts[1]
    # Of the first, which has ended, nothing that is about now.
    assert texts[1].count("gitreg_resident_memory_bytes{") == 1
    assert "gitreg_http_requests_running 1.0" in texts[1]


def test_what_is_told_is_counted() -> None:
    meters = Meters()
    meters.wrote("accepted")
    meters.wrote("refused", ["access-denied", "version-exists"])
    meters.grouped(3)
    meters.uploaded(1000)
    push = Asked(RECEIVE, is_advertisement=False)
    moved = (("0" * 40, "1" * 40, "refs/heads/main"),)
    for served in (
        Served(0, moved, "ok", {}, "", None),
        Served(0, moved, "ok", {"refs/heads/main": "pre-receive hook declined"}, "", None),
        Served(-15, moved, None, {}, "", "the client went away"),
        Served(0, (), None, {}, "", None),
        Served(128, (), None, {}, "", None),
    ):
        meters.git_ended(Ending(push, served))
    text = meters.text()[0].decode()
    for line in (
        'gitreg_writes_total{outcome="accepted"} 1.0',
        'gitreg_refusals_total{code="version-exists"} 1.0',
        'gitreg_write_group_size_bucket{le="4.0"} 1.0',
        "gitreg_upload_bytes_total 1000.0",
        *(
            f'gitreg_git_requests_total{{outcome="{word}",service="receive-pack"}} 1.0'
            for word in ("accepted", "refused", "stopped", "served", "failed")
        ),
    ):
        assert line in text, line


def test_memory_is_this_process_s() -> None:
    assert 1 << 20 < resident_bytes() < 1 << 40


def test_an_alarm_on_failed_writes_hears_of_the_server_s_faults_alone() -> None:
    errors = (NotFoundError("x"), ConflictError("x"), InvalidError("x"), DeniedError("x"), UnavailableError("x"))
    assert [outcome_of(each) for each in errors] == ["refused"] * 4 + ["failed"]
    refused = UnavailableError("x")
    refused.violations = (Violation(Code.STORE_UNAVAILABLE, "x"),)
    assert outcome_of(refused) == "refused"
