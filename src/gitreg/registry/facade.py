"""The registry as people and programs use it: one method a use case."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gitreg.config import Where
from gitreg.errors import InvalidError
from gitreg.registry import reads

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence
    from typing import Any

    from gitreg.access import Access
    from gitreg.gate import Violation
    from gitreg.gate_hooks.audit.export import Wanted
    from gitreg.gate_hooks.audit.result import Verified as Audited
    from gitreg.gate_hooks.finding import Finding
    from gitreg.git.upkeep import Upkept
    from gitreg.keep.bundle import Bundled
    from gitreg.keep.collect import Collected
    from gitreg.keep.fsck import Checked
    from gitreg.objects import Progress, Store
    from gitreg.objects.sync import Synced
    from gitreg.objects.trial import Trial
    from gitreg.published.publish import Publication
    from gitreg.registry.published import Standing
    from gitreg.registry.reads import AccessRow
    from gitreg.registry.signatures import Signed

from gitreg.registry.changing import Changing
from gitreg.registry.opened import counting


class Registry(Changing):
    """A registry, read at the newest commit that is known and written through its gate."""

    # Govern

    @property
    def _access(self) -> Access:
        return self.snapshot().access

    def access_explain(self, user: str, *, model: str | None = None, environment: str | None = None) -> list[AccessRow]:
        """Tell what a user may do, and which rule says so."""
        return reads.access_rows(self._access, user, model, environment)

    def codeowners(self) -> str:
        """Write a CODEOWNERS file that follows from the access rules."""
        from gitreg.registry.codeowners import codeowners

        return codeowners(self._access)

    def check_range(self, base: str, head: str, who: str | None = None, *, use_store: bool = True) -> list[Violation]:
        """Judge `base..head` as a push by `who` onto a main at `base` would be."""
        from gitreg.gate_hooks.check import check_range
        from gitreg.names import UserName

        user = UserName(who) if who is not None else None  # an empty name is nobody, not anybody
        target = self.target
        return check_range(target.repository, base, head, user, store_base=target.store_base, use_store=use_store)

    def verify_audit(self, copy: str | os.PathLike[str] | None = None) -> Audited:
        """Prove the log of decisions where it lies, on the registry's server; or a copy of it, against this clone."""
        from gitreg.gate_hooks.audit import proof

        if copy is not None:
            return proof.verify_copy(self.target.repository, Path(copy), self.target.tip())
        from gitreg.git import Repository

        with Repository.open(self._log_path) as repository:
            return proof.verify(repository)

    def audit(self, wanted: Wanted) -> Iterator[tuple[bytes, dict[str, Any]]]:
        """Give the decisions that are wanted, each as its line of the log and as its members, oldest first."""
        from gitreg.gate_hooks.audit import export

        return export.entries(self._log_path, wanted)

    @property
    def _log_path(self) -> Path:
        path = self.target.registry_path
        if path is None:
            raise InvalidError(
                "the audit log lies on the registry's server", hint="run it there, or verify a copy: --log FILE"
            )
        return path

    def doctor(self) -> list[Finding]:
        """Say whether the hooks and the configuration of this repository are in force."""
        from gitreg.gate_hooks.examine import examine

        if self.location.where is Where.URL:
            raise InvalidError("the doctor looks at repositories on this machine", hint="run it on the server")
        return list(examine(self.target.repository))

    # Keep

    def fsck(
        self, *, deep: bool = False, repair: bool = False, progress: Progress | None = None
    ) -> tuple[Checked, ...]:
        """Hold the store and its mirrors against every version of main; with `repair`, mend what is wrong."""
        from gitreg.registry import keeping

        moved = counting(progress, "weights")
        return keeping.fsck(self.snapshot(), self.store, deep=deep, repair=repair, moved=moved)

    def check_stores(self, *, write: bool = True) -> tuple[Trial, ...]:
        """Try out the store and each of its mirrors, with an object that is gone afterwards."""
        from gitreg.objects.trial import check

        return tuple(check(each.bucket, write=write) for each in _each(self.store))

    def sync_stores(self, *, dry_run: bool = False, progress: Progress | None = None) -> tuple[Synced, ...]:
        """Copy to each mirror what it lacks of the store; every blob is verified on its way."""
        from gitreg.registry import keeping

        return keeping.sync_stores(self.store, dry_run=dry_run, moved=counting(progress, "weights"))

    def gc(
        self,
        *,
        dry_run: bool = True,
        grace: str | None = None,
        trash: str | None = None,
        also: Sequence[str] = (),
    ) -> tuple[Collected, ...]:
        """Take weights out of the store and its mirrors that no version needs; by default only tell which."""
        from gitreg.registry import keeping

        settings = self.snapshot().settings
        return keeping.gc(self.target, settings, self.store, dry_run=dry_run, grace=grace, trash=trash, also=also)

    def bundle(
        self,
        selectors: Sequence[str],
        output: str | os.PathLike[str],
        *,
        since: str | None = None,
        progress: Progress | None = None,
    ) -> Bundled:
        """Write models or versions, with the registry's history and their weights, into one file."""
        from gitreg.registry import carrying

        moved = counting(progress, "weights")
        return carrying.bundle(self.snapshot(), self.store, selectors, Path(output), since=since, moved=moved)

    def verify_signature(self, selector: str, keys: Sequence[str | os.PathLike[str]]) -> Signed:
        """Verify the signature of a version's files by their digests; IntegrityError where none of the keys fits."""
        from gitreg.registry import signatures

        return signatures.verify_signature(self.snapshot(), self.store, selector, [Path(key) for key in keys])

    def upkeep(self, *, full: bool = False) -> Upkept:
        """Keep the repository quick to read, fetch and clone; of a URL, the mirror that this machine keeps."""
        from gitreg.git.upkeep import upkeep

        return upkeep(self.target.repository, full=full)

    def publish_index(
        self, to: str | None = None, *, key: str | os.PathLike[str] | None = None, anew: bool = False
    ) -> Publication:
        """Publish main as static files: to a folder, a URI, or by default into the object store below `index/`.

        Only what changed is written, and the head, which leads to the rest, last. `key` is the SSH key that signs it.
        """
        from gitreg.registry.published import publish_index

        return publish_index(
            self.snapshot, to, lambda: _each(self.store)[0], key=Path(key) if key is not None else None, anew=anew
        )

    def published(self, to: str | None = None) -> Standing:
        """Tell whether what is published is what main says; NotFoundError where nothing is."""
        from gitreg.registry.published import standing

        return standing(self.snapshot(), to, lambda: _each(self.store)[0])

    def mark(self, *, push: bool = False) -> list[str]:
        """Write the deploy tags that history implies and that are missing; `push` sends them to the origin."""
        from gitreg.writer.marking import mark

        return mark(self.target, push=push)


def _each(store: Store) -> tuple[Store, ...]:
    """Take a store apart: the primary one, then its mirrors."""
    from gitreg.objects import Stores

    return store.all if isinstance(store, Stores) else (store,)
