"""The rooms of the package: few, in few layers, each importing only from layers below its own."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "posekit"
LAYERS = (
    {"errors"},
    {"files", "geometry"},
    {"models", "metrics"},
    {"data", "weights"},
    {"config"},
    {"train", "inference", "reporting"},
    {"workflows"},
)
ENTRY = "__main__"  # the command line, above all layers
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")
# Heavy, or in need of a CUDA build of torch: imported where they are used.
LAZY = {"torchvision", "papermill", "nbformat", "tensorboard"}
by_file = pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def layer(name: str) -> int:
    return next(i for i, rooms in enumerate((*LAYERS, {ENTRY})) if name in rooms)


def imported(path: Path) -> set[tuple[str, ...]]:
    """Dotted names below posekit that a file imports, anywhere in it."""
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
        found |= {tuple(m[1:]) for m in modules if m[0] == "posekit" and len(m) > 1}
    return found


def test_the_rooms_are_few_and_each_has_a_layer():
    names = {p.name for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert len(names) <= 14 and len(LAYERS) <= 7
    assert {room(path) for path in FILES} == set().union(*LAYERS, {ENTRY})


@by_file
def test_imports_point_down(path):
    own = room(path)
    others = {name[0] for name in imported(path)} - {own}
    above = {name for name in others if layer(name) >= layer(own)}
    assert not above, f"{own} imports from its own layer or above: {above}"


@by_file
def test_no_private_name_crosses_a_room(path):
    crossing = {name for name in imported(path) if name[0] != room(path)}
    private = [".".join(name) for name in crossing if any(part.startswith("_") for part in name)]
    assert not private


def test_no_cycles_inside_a_room():
    arrows = {}
    modules = {path.relative_to(PACKAGE).with_suffix("").parts: path for path in FILES}
    for own, path in modules.items():
        names = (name[:cut] for name in imported(path) for cut in range(len(name), 0, -1))
        found = {n if n in modules else (*n, "__init__") for n in names}
        arrows[own] = {n for n in found & modules.keys() if n != own and n[-1] != "__init__"}
    while arrows:
        free = {own for own, targets in arrows.items() if not targets & arrows.keys()}
        assert free, f"modules that import each other: {sorted(map('.'.join, arrows))}"
        arrows = {own: targets for own, targets in arrows.items() if own not in free}


@by_file
def test_heavy_packages_are_imported_where_used(path):
    body = ast.parse(path.read_text(encoding="utf-8")).body
    names = {name.name for node in body if isinstance(node, ast.Import) for name in node.names}
    names |= {node.module or "" for node in body if isinstance(node, ast.ImportFrom)}
    assert not {name.split(".")[0] for name in names} & LAZY


@by_file
def test_functions_and_files_are_short(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < 60, f"{node.name} is too long"


def test_import_posekit_is_light():
    code = "import posekit, sys; print(*{m.split('.')[0] for m in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "matplotlib", "pandas", "scipy", "cv2", "numpy", "torchvision"}
    assert not heavy & set(done.stdout.split())
