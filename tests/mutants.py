"""Change one thing at a time in a module and see whether its tests notice, without real data.

    python -m tests.mutants geometry/crops metrics/oks --count 30

Each change, a sign, a comparison, a constant or a flag, is tried in a forked process with
`tests/<room>/test_<module>*.py`, the quickest tests first; all of them have to pass without a
change. Changes that nothing notices are printed with their lines: some are equal to the original in
what they do, others want a test.
"""

import argparse
import ast
import os
import random
import resource
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.abc import Loader, MetaPathFinder
from importlib.util import spec_from_loader
from pathlib import Path

import cv2
import hypothesis
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 60  # of computing
DEFAULT = (
    *("geometry/crops", "geometry/decoding", "geometry/heatmaps", "geometry/skeletons"),
    *("metrics/keypoint_ap", "metrics/oks", "metrics/pck", "models/families/losses"),
    *("data/transforms", "data/clips", "train/trainer", "train/checkpoints"),
)
ALSO = {"train/trainer": ["test_rounds.py"]}
OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.And: ast.Or, ast.Or: ast.And,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.USub: ast.UAdd, ast.Is: ast.IsNot,
}  # fmt: skip


def changes(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Make one change after the other in the tree, and undo it when the next is asked for."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        for field in ("op", "ops"):
            old = getattr(node, field, None)
            first = old[0] if isinstance(old, list) else old
            if type(first) in OPERATORS:
                new = OPERATORS[type(first)]()
                setattr(node, field, [new, *old[1:]] if isinstance(old, list) else new)
                yield line, f"{type(first).__name__} -> {type(new).__name__}"
                setattr(node, field, old)
        if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
            old = node.value
            node.value = not old if isinstance(old, bool) else old + 1
            yield line, f"{old} -> {node.value}"
            node.value = old


class Mutated(MetaPathFinder, Loader):
    """Gives one module from a changed tree."""

    def __init__(self, name: str, tree: ast.AST, path: Path) -> None:
        self.name, self.code = name, compile(ast.fix_missing_locations(tree), str(path), "exec")

    def find_spec(self, name, path=None, target=None):
        return spec_from_loader(name, self) if name == self.name else None

    def exec_module(self, module):
        exec(self.code, module.__dict__)


class QuickFirst:
    """A pytest plugin that notes how long each test takes, and runs the quickest first."""

    def __init__(self) -> None:
        self.seconds = Counter()

    def pytest_runtest_logreport(self, report):
        self.seconds[report.nodeid] += report.duration

    def pytest_collection_modifyitems(self, items):
        items.sort(key=lambda item: self.seconds[item.nodeid])


class Tests:
    """The tests of a module, which have to pass with the module as it is."""

    def __init__(self, module: str) -> None:
        folder, stem = ROOT / "tests" / module.partition("/")[0], module.rpartition("/")[2]
        self.files = [str(file) for file in folder.glob(f"test_{stem}*.py")]
        self.files += [str(folder / name) for name in ALSO.get(module, ())]
        self.order = QuickFirst()
        if self.run() != 0:
            raise SystemExit(f"{module}: its tests do not pass without a change")
        for name, one in list(sys.modules.items()):
            if str(getattr(one, "__file__", None)).startswith(str(ROOT)) and name != "__main__":
                del sys.modules[name]  # imported anew with each change; other packages stay

    def run(self) -> int:
        """The status of pytest; the first failure ends it."""
        shown, kept = (sys.stdout, sys.stderr), open(os.devnull, "w")  # noqa: SIM115
        sys.stdout = sys.stderr = kept
        words = ["-x", "-q", "-p", "no:cacheprovider", "-o", "addopts=", *self.files]
        try:
            return int(pytest.main(words, plugins=[self.order]))
        finally:
            sys.stdout, sys.stderr = shown

    def notice(self, name: str, tree: ast.AST, path: Path) -> bool:
        """Whether they fail, or do not end, with this tree for the module."""
        if (child := os.fork()) == 0:
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
            sys.meta_path.insert(0, Mutated(name, tree, path))
            os._exit(int(self.run() != 0))
        return os.waitpid(child, 0)[1] != 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", default=DEFAULT, help="such as metrics/oks")
    parser.add_argument("--count", type=int, default=10_000, help="of changes, drawn by chance")
    arguments = parser.parse_args()
    os.environ.pop("POSEKIT_REAL_DATA", None)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    once = hypothesis.settings(derandomize=True, deadline=None, phases=list(hypothesis.Phase)[:3])
    hypothesis.settings.register_profile("once", once)
    hypothesis.settings.load_profile("once")
    for module in arguments.modules:
        path, name = ROOT / "posekit" / f"{module}.py", f"posekit.{module.replace('/', '.')}"
        tree, tests, missed = ast.parse(path.read_text(encoding="utf-8")), Tests(module), []
        count = sum(1 for _ in changes(tree))
        drawn = random.Random(0).sample(range(count), min(count, arguments.count))
        for n, (line, change) in enumerate(changes(tree)):
            if n in drawn and not tests.notice(name, tree, path):
                missed.append(f"  {path.relative_to(ROOT)}:{line}: {change}")
        print(f"{module}: {len(drawn) - len(missed)} of {len(drawn)} changes noticed", flush=True)
        print(*missed, sep="\n", flush=True)


if __name__ == "__main__":
    main()
