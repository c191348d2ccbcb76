"""Test the tests of the judgement: change its code in one place at a time, and see that some test fails.

`python tools/mutate.py [MODULE…]` runs the quick tests against every mutant and prints those that no test tells from
the original, each as file, line and change. A survivor that loosens a rule is a missing test. What cannot be told
apart, or need not be, is listed in `tools/mutants.toml` with its reason.

Each mutant runs in a fork of this process, which has imported all but gitreg and the tests; the mutated module comes in
through an import hook, so that constants and tables are mutated as well as functions. Texts for people are left alone.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import importlib.abc
import importlib.util
import os
import re
import resource
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "gitreg"
ACCEPTED = ROOT / "tools" / "mutants.toml"
MODULES = (
    "access.py",
    "changes.py",
    "keys.py",
    *sorted(f"gate/{each.name}" for each in (SOURCE / "gate").glob("[!_]*.py")),
)
# What each mutant meets: a short differential test, which tells most of them within a second; the quick tests of its
# module; a longer differential test.
TESTS = {
    "access.py": ["tests/test_access.py", "tests/properties/test_access.py", "tests/gate"],
    "changes.py": ["tests/test_changes.py", "tests/gate"],
    "keys.py": ["tests/test_keys.py", "tests/properties/test_keys.py", "tests/gate"],
    "gate/refs.py": ["tests/gate/test_refs.py", "tests/properties/test_refs.py"],
}
DEFAULT = ["tests/gate", "tests/test_changes.py"]
APART = frozenset(
    {"keys.py", "gate/refs.py", "gate/headers.py", "gate/signing.py"}
)  # no differential test reaches these
WORLDS, FIRST = range(16), 4
SURVIVED, BY_ORACLE, BY_TEST, BY_CRASH = 0, 1, 2, 3
ENDINGS = {BY_ORACLE: "by the differential test", BY_TEST: "by a test", BY_CRASH: "by a crash"}
PROFILE = "mutate"
SECONDS = 60

# ------------------------------------------------------------------------------------------------------------ mutants


@dataclass(frozen=True)
class Mutant:
    """One change of one place: where it begins and ends (in bytes of the source), and what stands there instead."""

    module: str
    line: int
    start: int
    end: int
    text: str

    def apply(self, source: bytes) -> bytes:
        return source[: self.start] + self.text.encode() + source[self.end :]

    def lines(self, source: bytes) -> tuple[str, str]:
        """Give the lines that change as they were and as they are, in one line each."""
        first, last = source.rfind(b"\n", 0, self.start) + 1, source.find(b"\n", self.end)
        was = source[first:last].decode()
        becomes = (source[first : self.start] + self.text.encode() + source[self.end : last]).decode()
        return " ".join(was.split()), " ".join(becomes.split())


# Calls whose texts are for people.
_SPEAKING = frozenset(
    {
        "at",
        "Violation",
        "InvalidError",
        "Problem",
        "add",
        "refusal",
        "UnavailableError",
        "_want",
        "TypeVar",
        "TypeAlias",
    }
)
_COMPARED: dict[type[ast.cmpop], tuple[str, ...]] = {
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
    ast.Lt: ("<=", ">="),
    ast.LtE: ("<", ">"),
    ast.Gt: (">=", "<="),
    ast.GtE: (">", "<"),
    ast.Is: ("is not",),
    ast.IsNot: ("is",),
    ast.In: ("not in",),
    ast.NotIn: ("in",),
}
_OPERATED: dict[type[ast.operator], str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "+",
    ast.BitOr: "&",
    ast.BitAnd: "|",
    ast.Mod: "*",
}
_CALLED = {"any": "all", "all": "any", "min": "max", "max": "min", "startswith": "endswith", "endswith": "startswith"}
_ENUMS = {"Action": "READ", "Code": "INTERNAL"}


class Mutator(ast.NodeVisitor):
    """List the mutants of one module."""

    def __init__(self, module: str, source: bytes) -> None:
        self.module, self.source = module, source
        self.found: list[Mutant] = []
        self.starts = [0]
        for line in source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.visit(ast.parse(source))

    def span(self, node: ast.AST) -> tuple[int, int]:
        start = self.starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
        end = self.starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]
        return start, end

    def text(self, node: ast.AST) -> str:
        start, end = self.span(node)
        return self.source[start:end].decode()

    def replace(self, node: ast.AST, text: str) -> None:
        self.between(node, *self.span(node), text)

    def between(self, node: ast.AST, start: int, end: int, text: str) -> None:
        self.found.append(Mutant(self.module, node.lineno, start, end, text))  # type: ignore[attr-defined]

    # what is left alone: imports for types, annotations, docstrings, texts for people

    def visit_If(self, node: ast.If) -> None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        self.condition(node.test)
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if node.name in {"__str__", "__repr__"}:
            return
        self.returns_truth = isinstance(node.returns, ast.Name) and node.returns.id == "bool"
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.visit(default)
        for statement in node.body:
            self.visit(statement)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for statement in node.body:
            self.visit(statement)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Leave it alone: only texts for people are put together so."""

    def visit_Raise(self, node: ast.Raise) -> None:
        self.replace(node, "pass")

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant):
            return
        yields = isinstance(node.value, (ast.Yield, ast.YieldFrom))
        self.replace(node, "yield from ()" if yields else "pass")
        self.generic_visit(node)

    # statements

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.replace(node, "pass")
        self.generic_visit(node)

    def visit_Continue(self, node: ast.Continue) -> None:
        self.replace(node, "pass")

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is None:
            self.replace(node, "pass")
            return
        if self.returns_truth:
            self.replace(node.value, f"not ({self.text(node.value)})")
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        self.replace(node.test, "False")
        self.generic_visit(node)

    # expressions

    def condition(self, node: ast.expr) -> None:
        self.replace(node, "True")
        self.replace(node, "False")

    def visit_IfExp(self, node: ast.IfExp) -> None:
        if any(isinstance(each, ast.Constant) and isinstance(each.value, str) for each in (node.body, node.orelse)):
            return  # a choice of words
        self.condition(node.test)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self.condition(test)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        operands = [node.left, *node.comparators]
        for left, operator, right in zip(operands, node.ops, operands[1:], strict=False):
            for other in _COMPARED[type(operator)]:
                self.between(node, self.span(left)[1], self.span(right)[0], f" {other} ")
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        other = " or " if isinstance(node.op, ast.And) else " and "
        self.replace(node, "(" + other.join(f"({self.text(each)})" for each in node.values) + ")")
        own = " and " if isinstance(node.op, ast.And) else " or "
        for dropped in node.values:
            self.replace(
                node, "(" + own.join(f"({self.text(each)})" for each in node.values if each is not dropped) + ")"
            )
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self.replace(node, f"bool({self.text(node.operand)})")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if type(node.op) in _OPERATED:
            self.between(node, self.span(node.left)[1], self.span(node.right)[0], f" {_OPERATED[type(node.op)]} ")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in _CALLED:
            _, end = self.span(node.func)
            self.between(node, end - len(name), end, _CALLED[name])
        if name in _SPEAKING:
            for each in ast.walk(node):
                self.enumerated(each)
            return
        if name == "cast":
            self.visit(node.args[1])
            return
        if name == "compile" and node.args and isinstance(node.args[0], ast.Constant):
            self.pattern(node.args[0])
            return
        self.generic_visit(node)

    def pattern(self, node: ast.Constant) -> None:
        """Drop each alternative of a regular expression, outside its brackets."""
        text = self.text(node)
        for match in re.finditer(r"(?<=[|'\"(:])(?:\\.|\[(?:\\.|[^\]])*\]|[^|()\[\]'\"\\])+\|?", text):
            start, _ = self.span(node)
            self.between(node, start + match.start(), start + match.end(), "")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.enumerated(node)
        self.generic_visit(node)

    def enumerated(self, node: ast.AST) -> None:
        """Put another action for an action, another code for a code."""
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            other = _ENUMS.get(node.value.id, node.attr)
            if other != node.attr:
                self.replace(node, f"{node.value.id}.{other}")

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self.replace(node, str(not node.value))
        elif isinstance(node.value, int):
            self.replace(node, str(node.value + 1))
        elif isinstance(node.value, str) and node.value and self.source[self.span(node)[0] :][:1] in {b"'", b'"'}:
            self.replace(node, repr(node.value + "~"))

    def items(self, node: ast.Set | ast.List | ast.Tuple) -> None:
        """Drop each item of a collection that is written out."""
        if len(node.elts) > 1 and isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
            ends = [*(self.span(each)[0] for each in node.elts[1:]), self.span(node.elts[-1])[1]]
            for item, end in zip(node.elts, ends, strict=True):
                self.between(item, self.span(item)[0], end, "")
        self.generic_visit(node)

    visit_Set = visit_List = visit_Tuple = items  # noqa: N815 - ast's names

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if isinstance(node.value, ast.Name) and node.value.id in {
            "Mapping",
            "tuple",
            "set",
            "dict",
            "Callable",
            "list",
        }:
            return  # an annotation, or a call of one
        self.generic_visit(node)

    def visit_Dict(self, node: ast.Dict) -> None:
        """Drop each entry of a table."""
        for key, value in zip(node.keys, node.values, strict=True):
            if key is not None and len(node.keys) > 1:
                end = self.span(value)[1]
                self.between(key, self.span(key)[0], end + (self.source[end : end + 1] == b","), "")
        self.generic_visit(node)


def mutants_of(module: str) -> Iterator[Mutant]:
    """List the mutants of a module that are Python, each once."""
    source = (SOURCE / module).read_bytes()
    seen = set()
    for mutant in Mutator(module, source).found:
        changed = mutant.apply(source)
        if changed in seen:
            continue
        seen.add(changed)
        with contextlib.suppress(SyntaxError):
            compile(changed, module, "exec", dont_inherit=True)
            yield mutant


# ------------------------------------------------------------------------------------------------------------ running


class Injector(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Give one module from a text instead of its file."""

    def __init__(self, name: str, path: Path, source: bytes) -> None:
        self.name, self.path, self.source = name, path, source

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        if name != self.name:
            return None
        folder = [str(self.path.parent)] if self.path.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(
            name,
            self.path,
            loader=self,
            submodule_search_locations=folder,  # type: ignore[arg-type]
        )

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.source, str(self.path), "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - ours


def run_tests(mutant: Mutant | None, module: str) -> int:
    """Run the tests of a module in this process, and say which of them tells the mutant; 0 where none does."""
    import pytest

    if mutant is not None:
        path = SOURCE / mutant.module
        parts = ["gitreg", *Path(mutant.module).with_suffix("").parts]
        name = ".".join(part for part in parts if part != "__init__")
        sys.meta_path.insert(0, Injector(name, path, mutant.apply(path.read_bytes())))
    if module not in APART and disagreements(WORLDS[:FIRST]):
        return BY_ORACLE
    chosen = [path for path in TESTS.get(module, DEFAULT) if (ROOT / path).exists()]
    options = ["-x", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=no"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # hypothesis is imported before pytest starts
    options += [f"--hypothesis-profile={PROFILE}"]
    if pytest.main([*options, *chosen]) != pytest.ExitCode.OK:
        return BY_TEST
    return BY_ORACLE if module not in APART and disagreements(WORLDS[FIRST:]) else SURVIVED


def disagreements(seeds: Sequence[int]) -> bool:
    """Run the differential test, a world at a time."""
    from tests.differential.compare import run

    return any(run([seed]).disagreements for seed in seeds)


def fork(mutant: Mutant | None, module: str) -> int:
    """Start the tests of one mutant; give the child's process id."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = BY_CRASH
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))  # a mutant that does not end is told as well
        code = run_tests(mutant, module)
    finally:
        os._exit(code)  # whatever it raises tells the mutant from the original


def endings(mutants: Sequence[Mutant], workers: int) -> Iterator[tuple[Mutant, int]]:
    """Run mutants, so many at once; give each with what told it from the original, as they end."""
    running: dict[int, Mutant] = {}
    waiting = list(reversed(mutants))
    while waiting or running:
        while waiting and len(running) < workers:
            mutant = waiting.pop()
            running[fork(mutant, mutant.module)] = mutant
        pid, status = os.wait()
        yield running.pop(pid), os.WEXITSTATUS(status) if os.WIFEXITED(status) else BY_CRASH


# ----------------------------------------------------------------------------------------------------------- survivors


def accepted() -> dict[tuple[str, str, str], str]:
    """Read the survivors that are accepted: by module, line and changed line, so that they outlive a moved line."""
    if not ACCEPTED.exists():
        return {}
    entries = tomllib.loads(ACCEPTED.read_text(encoding="utf-8")).get("accepted", [])
    return {(each["module"], each["was"], each["becomes"]): each["reason"] for each in entries}


def judge(module: str, mutants: Sequence[Mutant], workers: int) -> int:
    """Run the mutants of a module and print what survived; count the survivors that nobody accepted."""
    known, source = accepted(), (SOURCE / module).read_bytes()
    kept = left = 0
    killed = dict.fromkeys(ENDINGS, 0)
    for mutant, ending in endings(mutants, workers):
        was, becomes = mutant.lines(source)
        if ending != SURVIVED:
            killed[ending] += 1
        elif (module, was, becomes) in known:
            kept += 1
        else:
            left += 1
            print(f"src/gitreg/{module}:{mutant.line}\n  - {was}\n  + {becomes}", flush=True)
    by = ", ".join(f"{count} {how}" for how, count in zip(ENDINGS.values(), killed.values(), strict=True))
    found = f"{sum(killed.values())} killed ({by}), {kept} accepted, {left} survived"
    print(f"{module}: {len(mutants)} mutants, {found}", flush=True)
    return left


def main() -> int:
    parser = argparse.ArgumentParser(prog="python tools/mutate.py", description=__doc__.partition("\n")[0])
    parser.add_argument("modules", nargs="*", default=MODULES, help="as in access.py or gate/judge.py; all where none")
    parser.add_argument("--workers", type=int, default=2, help="how many mutants run at once (2)")
    parser.add_argument("--lines", help="only the mutants in these lines, as in 100-150")
    options = parser.parse_args()
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    for name in ("hypothesis", "numpy", "pytest", "yaml", "yaml12"):
        importlib.import_module(name)  # once, for all forks
    from hypothesis import HealthCheck, settings

    settings.register_profile(
        PROFILE, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    first, last = (int(each) for each in (options.lines or "1-1000000").split("-"))
    began, total, left = time.monotonic(), 0, 0
    for module in options.modules:
        _, status = os.waitpid(fork(None, module), 0)
        if status:
            print(f"{module}: its tests fail without any mutant")
            return 2
        mutants = [each for each in mutants_of(module) if first <= each.line <= last]
        total += len(mutants)
        left += judge(module, mutants, options.workers)
    print(f"{total} mutants in {time.monotonic() - began:.0f} s, {left} survived that nobody accepted")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
