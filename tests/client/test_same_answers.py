"""Every command says of a registry behind a server what it says of the repository, or says what to use instead."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from gitreg.cli.boundary import run
from gitreg.cli.commands import COMMANDS
from gitreg.errors import InvalidError
from gitreg.git import Signature
from tests.server.githttp.site import make_registry
from tests.server.rest.client import Rest, registering, serve
from tests.server.serving import HOST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# The registry is of the beginning of 2020: what was registered first is the past of what came a month later.
BEGIN, THEN, LATER = "2020-01-01T00:00:00Z", 1_578_300_000, 1_580_900_000
PAST = "--at 2020-01-15"
READS = f"""
list
list risk
list risk {PAST}
show MODEL
show MODEL@champion
show MODEL@staging {PAST}
show MODEL@9.9.9
versions MODEL
versions MODEL {PAST}
versions risk/nobody
search "model = 'MODEL'"
search "model = 'MODEL' and metrics.auc > 0.8" --order-by "metrics.auc desc" --limit 1
search "model = 'MODEL'" "metrics.nobody > 1"
search "model = 'MODEL'" {PAST}
search "model = "
recommend "scores card payments" --limit 2
recommend "scores card payments" {PAST}
diff MODEL@1.0.0 MODEL@1.1.0
compare MODEL@1.0.0 MODEL@1.1.0
compare MODEL@1.0.0 MODEL@1.1.0 {PAST}
plot MODEL auc
lineage MODEL@1.1.0
lineage MODEL@1.0.0 --down
lineage MODEL@1.0.0 --down {PAST}
lineage MODEL@1.1.0 --format mermaid
status
status staging {PAST}
history MODEL
history MODEL staging
history MODEL {PAST}
log
log MODEL
log -n 3
log MODEL -n 0
log {PAST} -n 2
log --at 2000-01-01
access explain alice MODEL prod
access codeowners
audit verify
audit export --model MODEL
audit export --format csv --verdict accepted
audit export --since 2000-01-01 --until 2999-01-01
deploy MODEL@1.0.0 staging --dry-run
promote MODEL staging --dry-run
rollback MODEL staging --dry-run
alias MODEL@1.0.0 champion --dry-run
yank MODEL@1.1.0 --dry-run
update MODEL@1.0.0 --description Another. --dry-run
lock MODEL@champion
lock --check
pull MODEL@champion -o out
pull --locked
verify out MODEL@champion
""".strip().splitlines()
WRONG = {"show MODEL@9.9.9", "versions risk/nobody", 'search "model = "', "log --at 2000-01-01"}
WRONG |= {f"compare MODEL@1.0.0 MODEL@1.1.0 {PAST}"}  # there was no second one yet
WITHOUT_GIT = """
fsck
gc
doctor
upkeep
mark
store check
index build
index status
index publish
bundle MODEL@1.0.0 -o some.bundle
audit verify --log some.jsonl
search --explain "metrics.auc > 0.5"
deploy MODEL@1.0.0 staging --dry-run --propose
deploy MODEL@1.0.0 staging --dry-run --as alice
""".strip().splitlines()
# They are of this machine, work on files, or make registries: which registry is meant is not asked.
ELSEWHERE = {"init", "clone", "config", "check", "cache", "sign", "inspect", "unbundle", "serve", "server", "demo"}
ELSEWHERE |= {"completion", "credential", "no-model-files"}
# Written in test_connected.py; dry runs of others are above.
WRITES = {"register", "import", "archive", "delete", "approve", "undeploy", "report"}


@pytest.fixture(scope="module")
def old(_sealed_session: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    """Serve a registry with a past."""
    path = tmp_path_factory.mktemp("old") / "models.git"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_AUTHOR_DATE", BEGIN)
        patch.setenv("GIT_COMMITTER_DATE", BEGIN)
        make_registry(path)
    with serve(path) as found:
        yield found


def _at(time: int) -> object:
    return classmethod(lambda cls, name, email: cls(name, email, time))


@pytest.fixture(scope="module")
def model(old: Rest) -> str:
    """Register, deploy and rename a model's versions, in January and in February."""
    file = old.store(b"weights of a model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Signature, "now", _at(THEN))
        name = old.model("1.0.0", metrics={"auc": 0.9}, description="Scores card payments.")
        old.ask("POST", "/models/deploy", json={"model": name, "version": "1.0.0", "environment": "staging"})
        patch.setattr(Signature, "now", _at(LATER))
        more = {"parents": [f"{name}@1.0.0:finetuned-from"], "metrics": {"auc": 0.95}}
        for path, said in (
            ("/models/register", registering(name, "1.1.0", artifacts=[{"path": "model.bin", **file}], **more)),
            ("/models/deploy", {"model": name, "version": "1.1.0", "environment": "staging"}),
            ("/models/promote", {"model": name, "source": "staging"}),
            ("/models/alias", {"model": name, "version": "1.1.0", "alias": "champion"}),
            ("/models/report", {"model": name, "version": "1.0.0", "environment": "staging"}),
        ):
            answer = old.ask("POST", path, json=said)
            assert answer.status_code < 300, answer.text
    return name


@pytest.fixture
def both(
    old: Rest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> Callable[[str], list[tuple[int, bytes, bytes]]]:
    """Run a command on the repository, and on the server before it, each in a folder of its own."""
    monkeypatch.setenv("GITREG_USER", "root")
    monkeypatch.setenv("GITREG_TOKEN", old.token("root"))

    def call(line: str) -> list[tuple[int, bytes, bytes]]:
        found = []
        for folder, place in (("one", str(old.path)), ("other", f"http://{HOST}:{old.port}")):
            (tmp_path / folder).mkdir(exist_ok=True)
            monkeypatch.chdir(tmp_path / folder)
            monkeypatch.setenv("GITREG_REGISTRY", place)
            capfdbinary.readouterr()
            code = run(shlex.split(line))
            found.append((code, *capfdbinary.readouterr()))
        return found

    return call


@pytest.mark.parametrize("line", READS)
def test_a_command_answers_the_same(
    line: str, model: str, both: Callable[[str], list[tuple[int, bytes, bytes]]]
) -> None:
    if line.startswith(("lock --check", "pull --locked")):
        both(f"lock {model}@champion")
    if line.startswith("verify"):
        both(f"pull {model}@champion -o out")
    here, there = both(line.replace("MODEL", model))
    assert here == there
    assert here[1] or here[2]
    assert here[0] == 0 or line in WRONG


def test_the_past_is_another_one(model: str, both: Callable[[str], list[tuple[int, bytes, bytes]]]) -> None:
    for _, then, _ in both(f"versions {model} {PAST}"):
        assert b"1.0.0" in then
        assert b"1.1.0" not in then


@pytest.mark.parametrize("line", WITHOUT_GIT)
def test_what_needs_the_repository_says_so_in_one_line_with_the_way_out(
    line: str, model: str, both: Callable[[str], list[tuple[int, bytes, bytes]]]
) -> None:
    _, (code, out, err) = both(line.replace("MODEL", model))
    assert (code, out) == (InvalidError.exit_code, b"")
    assert err.count(b"\n") == 1
    assert b"; " in err


def test_every_command_is_tried() -> None:
    tried = {line.split()[0] for line in (*READS, *WITHOUT_GIT)}
    assert tried | ELSEWHERE | WRITES == set(COMMANDS)
