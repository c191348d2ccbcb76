"""Tell what became of a write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitreg.cli.text import one_line

if TYPE_CHECKING:
    from gitreg.cli.screen import Screen
    from gitreg.cli.session import Session
    from gitreg.registry import Registry, Written

# The verbs that commit subjects begin with, as what was done.
_DONE = {
    "Approve": "approved",
    "Archive": "archived",
    "Delete": "deleted",
    "Deploy": "deployed",
    "Import": "imported",
    "Point": "pointed",
    "Promote": "promoted",
    "Register": "registered",
    "Reject": "rejected",
    "Remove": "removed",
    "Report": "reported",
    "Restore": "restored",
    "Roll": "rolled",
    "Undeploy": "undeployed",
    "Reinstate": "reinstated",
    "Update": "updated",
    "Yank": "yanked",
}
_HEADS = "refs/heads/"
_PROPOSALS = "refs/heads/proposals/"


def answer_written(session: Session, registry: Registry, written: Written) -> None:
    """Show what a write did, or would do; exit as the gate's refusal would where it would refuse."""
    session.answer(written, lambda screen, value: _render(screen, value, registry))
    if written.violations:
        from gitreg.gate import refusal

        click.get_current_context().exit(refusal(written.violations).exit_code)


def _render(screen: Screen, written: Written, registry: Registry) -> None:
    if written.dry_run:
        _verdict(screen, written)
    elif written.commit is None:
        screen.line("nothing to do: the registry says so already")
    elif written.ref.startswith(_PROPOSALS):
        _proposal(screen, written, registry)
    else:
        screen.line(f"{done(written.subject)} ({_place(written)})")
    for note in written.notes:
        click.echo(f"note: {one_line(note)}", err=True)


def done(subject: str) -> str:
    """Turn a commit's subject into what was done: `Deploy x@1.0.0 to prod` into `deployed x@1.0.0 to prod`."""
    verb, _, rest = subject.partition(" ")
    words = rest.split(" ")
    if len(words) == len(("model", "version")) and "/" in words[0]:
        rest = "@".join(words)
    return f"{_DONE[verb]} {rest}" if verb in _DONE else subject


def _place(written: Written) -> str:
    return f"commit {(written.commit or '')[:8]} on {written.ref.removeprefix(_HEADS)}"


def _verdict(screen: Screen, written: Written) -> None:
    if written.diff:
        screen.diff(written.diff)
        screen.line()
    if not written.violations:
        what = "the gate would accept this" if written.paths else "nothing would change"
        screen.line(f"{what}; nothing was changed" if written.paths else what, "green")
        return
    count = len(written.violations)
    screen.line(f"the gate would refuse this: {count} violation{'s' if count > 1 else ''}", "red")
    for violation in written.violations:
        screen.block(f"  {one_line(violation)}")


def _proposal(screen: Screen, written: Written, registry: Registry) -> None:
    branch = written.ref.removeprefix(_HEADS)
    screen.line(f"proposed: {written.subject} ({_place(written)})")
    screen.line("open the pull request:")
    for way in pull_request(branch, registry.location.text if registry.target.url is None else registry.target.url):
        screen.block(f"  {way}")


def pull_request(branch: str, origin: str) -> list[str]:
    """Give the commands that turn a pushed branch into a pull request, by the forge that the URL names."""
    github = f"gh pr create --base main --head {branch}"
    gitlab = f"glab mr create --target-branch main --source-branch {branch}"
    plain = f"git fetch origin {branch} && git merge --no-ff FETCH_HEAD && git push origin main"
    host = origin.partition("://")[2] or origin
    host = host.rpartition("@")[2].partition("/")[0].partition(":")[0].lower()
    if "github" in host:
        return [github]
    if "gitlab" in host:
        return [gitlab]
    return [plain, f"{github}   # on GitHub", f"{gitlab}   # on GitLab"]
