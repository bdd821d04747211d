"""Change one thing at a time in a module and see whether its tests notice, without real data.

    python -m tests.mutants geometry/crops metrics/oks --share 0.2

Each change, a sign, a comparison, a constant or a flag, is tried in a forked process with
`tests/<room>/test_<module>*.py`. Changes that nothing notices are printed with their lines: some
are equal to the original in what they do, others want a test.
"""

import argparse
import ast
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from importlib.abc import Loader, MetaPathFinder
from importlib.util import spec_from_loader
from pathlib import Path

import hypothesis  # noqa: F401  (imported once, before the processes are forked)
import matplotlib.figure  # noqa: F401
import pandas  # noqa: F401
import pytest
import scipy.stats  # noqa: F401
import torch

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 300
DEFAULT = (
    *("geometry/crops", "geometry/decoding", "geometry/heatmaps", "geometry/skeletons"),
    *("metrics/keypoint_ap", "metrics/oks", "metrics/pck", "models/families/losses"),
    *("data/transforms", "data/clips", "train/trainer", "train/checkpoints"),
)
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


def noticed(name: str, tree: ast.AST, path: Path, tests: list[str]) -> bool:
    """Whether the tests fail, or do not end, with this tree for the module."""
    if (child := os.fork()) == 0:
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
        sys.meta_path.insert(0, Mutated(name, tree, path))
        status = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:nbval", *tests])
        os._exit(int(status != 0))
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status != 0
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", default=DEFAULT, help="such as metrics/oks")
    parser.add_argument("--share", type=float, default=1.0, help="of the changes, drawn by chance")
    arguments = parser.parse_args()
    os.environ.pop("POSEKIT_REAL_DATA", None)
    torch.set_num_threads(1)
    for module in arguments.modules:
        path, stem = ROOT / "posekit" / f"{module}.py", module.rpartition("/")[2]
        folder = ROOT / "tests" / module.partition("/")[0]
        tests = [str(file) for file in folder.glob(f"test_{stem}*.py")]
        tree = ast.parse(path.read_text(encoding="utf-8"))
        name = f"posekit.{module.replace('/', '.')}"
        draw, tried, missed = random.Random(0), 0, []
        for line, change in changes(tree):
            if draw.random() < arguments.share:
                tried += 1
                if not noticed(name, tree, path, tests):
                    missed.append(f"  {path.relative_to(ROOT)}:{line}: {change}")
        print(f"{module}: {tried - len(missed)} of {tried} changes noticed", flush=True)
        print(*missed, sep="\n", flush=True)


if __name__ == "__main__":
    main()
