"""The papers say what the code does, and lead where they point."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from gitreg import wire
from gitreg.access import Access, Action, may
from gitreg.cli.commands import COMMANDS
from gitreg.cli.group import gitreg
from gitreg.gate import Code
from gitreg.gate_hooks.identity import SOURCES
from gitreg.names import ModelName, UserName
from gitreg.schema import Kind, check

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "example-registry").rglob("*.md")])
DECISIONS = sorted((DOCS / "adr").glob("*.md"))
_KINDS = {
    "ModelVersion": Kind.MANIFEST,
    "Tombstone": Kind.TOMBSTONE,
    "Model": Kind.MODEL,
    "Deployment": Kind.DEPLOYMENT,
    "Status": Kind.STATUS,
    "Approval": Kind.APPROVAL,
    "Registry": Kind.REGISTRY,
    "Access": Kind.ACCESS,
}
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^()\s]+)\)")


def _name(path: object) -> str:
    return path.relative_to(ROOT).as_posix() if isinstance(path, Path) else str(path)


def _blocks(page: Path, language: str) -> list[str]:
    return [text for found, text in _FENCE.findall(page.read_text(encoding="utf-8")) if found == language]


def _prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def _anchors(page: Path) -> set[str]:
    """Name the headings of a page as forges do in links."""
    titles = re.findall(r"^#+ (.*)$", _prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def _commands(name: str, command: click.Command) -> list[str]:
    if isinstance(command, click.Group):
        return [each for word, found in command.commands.items() for each in _commands(f"{name} {word}", found)]
    return [name]


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    lost = []
    for link in _LINK.findall(_prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            lost.append(link)
    assert lost == []


def test_every_violation_is_explained_once() -> None:
    explained = re.findall(r"^\| `([a-z-]+)` \|", (DOCS / "gate.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(explained) == sorted(map(str, Code))


def test_every_command_has_a_section_and_an_example() -> None:
    known = [
        each
        for name in COMMANDS
        for each in _commands(name, gitreg.get_command(click.Context(gitreg), name) or click.Command(name))
    ]
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^### gitreg ([a-z -]+)\n(.*?)(?=^##|\Z)", text, re.DOTALL | re.MULTILINE))
    assert sorted(sections) == sorted(known)
    assert [name for name, section in sections.items() if not re.search(rf"\bgitreg .*{name}\b", section)] == []
    assert [name for name, section in sections.items() if f"<!-- options: {name} -->" not in section] == []


def test_the_options_of_every_command_are_those_of_its_help() -> None:
    command = [sys.executable, str(ROOT / "tools" / "cli_options.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stderr, done.returncode) == ("", 0)


def _examples() -> list[Any]:
    blocks = [block for block in _blocks(DOCS / "formats.md", "yaml") if "\nkind: " in block]
    return [pytest.param(block, id=str(wire.load_plain(block.encode(), "")["kind"])) for block in blocks]


@pytest.mark.parametrize("text", _examples())
def test_every_annotated_file_is_valid(text: str) -> None:
    document = wire.load(text.encode(), "formats.md")
    check(_KINDS[document.value["kind"]], document)


def test_every_kind_of_file_has_an_annotated_example() -> None:
    kinds = [wire.load_plain(each.values[0].encode(), "")["kind"] for each in _examples()]
    assert sorted(kinds) == sorted(_KINDS)


def test_every_source_of_identity_is_described() -> None:
    text = (DOCS / "setup.md").read_text(encoding="utf-8")
    assert [source for source in SOURCES if f"| `{source}` |" not in text] == []


def test_decisions_are_numbered_without_gaps_and_say_what_became_of_them() -> None:
    assert [page.name[:4] for page in DECISIONS] == [f"{number:04}" for number in range(len(DECISIONS))]
    for page in DECISIONS[1:]:
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# {page.name[:4]}. "), page.name
        assert re.search(r"^Status: (proposed|accepted|replaced by \d{4}) · \d{4}-\d\d-\d\d$", text, re.MULTILINE)
        assert [each for each in ("Context", "Decision", "Consequences") if f"\n## {each}\n" not in text] == []


@pytest.mark.slow
def test_the_quickstart_does_what_the_readme_says(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    part = text[text.index("\n## Quickstart") : text.index("\n## How it works")]
    lines = [f'gitreg() {{ "{sys.executable}" -m gitreg "$@"; }}', f'python() {{ "{sys.executable}" "$@"; }}']
    for language, block in _FENCE.findall(part):
        lines += _typed(block) if language == "console" else []
        lines += ["python - <<'END'", block, "END"] if language == "python" else []
    # The page shows one run's branch; its name ends in letters that no other run has.
    branch = re.search(r"proposals/bob/[a-z0-9-]+", part)
    assert branch
    script = "\n".join(lines).replace(branch[0], "$(git branch -r --format='%(refname:lstrip=3)' | grep proposals)")
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "[approvals]" in done.stderr
    assert "marked deploy/prod/risk/fraud-detector/3" in done.stderr
    assert done.stdout.endswith("3 rollback 1.0.0 carol\n2 promote 1.1.0 carol\n1 promote 1.0.0 carol\n")


def test_whom_the_quickstart_lets_do_something_may_see_it_on_a_server() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rules = text.partition("cat > access.yaml <<'END'\n")[2].partition("\nEND\n")[0]
    access = Access.parse(rules.encode())
    for user in ("alice", "bob", "carol", "dana"):
        assert may(access, UserName(user), Action.READ, ModelName.parse("risk/fraud-detector")).allowed, user


def _typed(block: str) -> list[str]:
    """Give what a user types in a console: prompts, lines that a backslash continues, here-documents."""
    typed: list[str] = []
    until: str | None = None
    for line in block.splitlines():
        inside = until is not None or bool(typed and typed[-1].endswith("\\"))
        if not inside and not line.startswith("$ "):
            continue
        typed.append(line if inside else line.removeprefix("$ "))
        if until is None and "<<'END'" in line:
            until = "END"
        elif line == until:
            until = None
    return typed


def test_the_readme_opens_with_the_two_commands() -> None:
    opening = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:6]
    assert [line.split("  ")[0] for line in opening if line.startswith("make ")] == ["make demo", "make test"]


def test_each_proof_that_the_threat_model_names_is_there() -> None:
    named = set(re.findall(r"`((?:tests|fuzz)/[^`]+)`", (DOCS / "threat-model.md").read_text(encoding="utf-8")))
    assert len(named) > 30
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
