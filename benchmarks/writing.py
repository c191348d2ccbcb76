"""Register a version with gitreg's own writer."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from benchmarks.generate import USERS, Blobs, manifest_text
from benchmarks.measure import Row, interleaved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.setting import Setting
    from gitreg.registry import Registry


class Writer:
    """A user who registers one version after another in a registry that is opened once."""

    def __init__(self, setting: Setting, versions: int, stack: contextlib.ExitStack) -> None:
        from gitreg.registry import open_registry

        self.server = setting.registry(versions)
        self.registry: Registry = stack.enter_context(open_registry(self.server))
        self.model = setting.model(versions)
        self.blobs = Blobs(self.server.parent / "store")
        self.weights = setting.folder / "weights.safetensors"
        self.weights.write_bytes(_blob(self.server, self.blobs))
        self.number = time.time_ns() // 1_000_000

    def commit(self) -> float:
        """Write the commit of a version, as `register` does, and push it nowhere."""
        self.number += 1
        version = f"10.{self.number}.0"
        text = manifest_text(self.model, version, self.blobs, index=1).encode()
        target = self.registry.target
        tip = target.tip()
        began = time.perf_counter()
        target.write(tip, {f"models/{self.model}/{version}.yaml": text}, f"Register {version}\n")
        return time.perf_counter() - began

    def register(self) -> float:
        """Register a version: store its file, commit, judge, push through the hooks."""
        from gitreg.registry import RegisterRequest

        self.number += 1
        request = RegisterRequest(
            model=self.model,
            paths=(self.weights,),
            version=f"10.{self.number}.0",
            metrics={"auc": 0.9},
            datasets=({"name": "ledger", "version": "week-1"},),
            license="Apache-2.0",
            code=False,
        )
        began = time.perf_counter()
        self.registry.register(request)
        return time.perf_counter() - began


def _blob(server: Path, blobs: Blobs) -> bytes:
    digest = blobs.weights[0][0]
    return (server.parent / "store" / "blobs" / "sha256" / digest[:2] / digest).read_bytes()


def run(setting: Setting) -> Iterator[Row]:
    """Time `register` in the large registry against the small one."""
    with contextlib.ExitStack() as stack:
        _become(setting, stack)
        writers = {size: Writer(setting, size, stack) for size in setting.sizes}
        for what, chosen in (("its commit alone", Writer.commit), ("all of it, with the push", Writer.register)):
            cases = {str(size): _case(chosen, writer) for size, writer in writers.items()}
            taken = interleaved(cases, setting.repeats)
            yield Row(
                what=f"register: {what}, {setting.large:,} versions",
                floor=f"{setting.small:,} versions",
                takes=taken[str(setting.large)],
                floor_takes=taken[str(setting.small)],
                target=1.3,
            )


def _case(chosen: Callable[[Writer], float], writer: Writer) -> Callable[[], float]:
    return lambda: chosen(writer)


def _become(setting: Setting, stack: contextlib.ExitStack) -> None:
    """Take on the benchmark's environment in this process, and give it back."""
    before = dict(os.environ)

    def restore() -> None:
        os.environ.clear()
        os.environ.update(before)

    stack.callback(restore)
    os.environ.clear()
    os.environ.update({**setting.environment, "GL_USER": USERS[0]})
