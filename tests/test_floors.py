"""A module imports only from floors below its own, and `import posekit` stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "posekit"
FLOORS = (
    "errors places skeletons parts regions geometry parameters knobs recipes codecs metrics oks "
    "models data average_precision occlusion train evaluate weights tables results viz report "
    "preparation conversion experiment estimator evaluation occlusion_study efficiency "
    "stochastic_depth video box_file people tracker traces show eye demo notebook __main__"
).split()
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")
# Heavy, or in need of a CUDA build of torch: imported where they are used.
LAZY = {"torchvision", "papermill", "nbformat", "tensorboard"}


def floor(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def posekit_imports(path: Path) -> set[str]:
    """First names below posekit that a file imports, anywhere in it."""
    package = ("posekit", *path.relative_to(PACKAGE).parent.parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules = [name.name.split(".") for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            base += node.module.split(".") if node.module else []
            modules = [[*base, name.name] for name in node.names]
        else:
            continue
        found |= {module[1] for module in modules if module[0] == "posekit" and len(module) > 1}
    return found


def test_every_module_has_a_floor():
    assert {floor(path) for path in FILES} <= set(FLOORS)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path):
    mine = FLOORS.index(floor(path))
    above = {name for name in posekit_imports(path) & set(FLOORS) if FLOORS.index(name) > mine}
    assert not above, f"{path.name} imports from above: {above}"
    strangers = {"models": "data", "data": "models"}.get(floor(path))
    assert strangers not in posekit_imports(path)
    assert floor(path) == "notebook" or "notebook" not in posekit_imports(path)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_packages_are_imported_where_used(path):
    body = ast.parse(path.read_text(encoding="utf-8")).body
    names = {name.name for node in body if isinstance(node, ast.Import) for name in node.names}
    names |= {node.module or "" for node in body if isinstance(node, ast.ImportFrom)}
    assert not {name.split(".")[0] for name in names} & LAZY


def test_import_posekit_is_light():
    code = "import posekit, sys; print(*{m.split('.')[0] for m in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "matplotlib", "pandas", "scipy", "cv2", "numpy", "torchvision"}
    assert not heavy & set(done.stdout.split())
