"""What holds for the whole repository: lists that agree, lint, recipes, notebooks, stems."""

import ast
import difflib
import json
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path
from types import NoneType
from typing import Literal, get_args, get_origin

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from posekit.config.recipes import RECIPES, bind, read_recipe
from posekit.data import dataset as data_of
from posekit.workflows.training import try_shapes

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PARAMS = sorted((ROOT / "params").glob("*/*.yaml"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TRAINING = [path for path in NOTEBOOKS if path.stem.startswith("train_")]
STEMS = sorted({path.parent.name for path in PARAMS} | {p.stem[len("train_") :] for p in TRAINING})

by_name = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
by_training = pytest.mark.parametrize("path", TRAINING, ids=lambda p: p.stem)
by_file = pytest.mark.parametrize("path", PARAMS, ids=lambda p: f"{p.parent.name}/{p.stem}")
by_recipe = pytest.mark.parametrize(
    "path",
    [path for path in PARAMS if path.stem not in ("sample", "smoke")],
    ids=lambda p: f"{p.parent.name}/{p.stem}",
)


def project_files() -> list[Path]:
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


def test_no_file_names_a_package_registry_or_a_machine():
    host = re.compile(
        r"pythonhoste[d]|\bpyp[i]\.org|anacond[a]\.(com|org)|npmj[s]\.|index-ur[l]|/simpl[e]/"
        r"|/(wor[k]|far[m])/"
    )
    found = {}
    for path in project_files():
        match = host.search(path.read_bytes().decode("utf-8", errors="replace"))
        if match:
            found[str(path.relative_to(ROOT))] = match.group()
    assert not found


def test_exactly_one_opencv_is_installed():
    names = {(d.metadata["Name"] or "").lower() for d in metadata.distributions()}
    assert len({name for name in names if name.startswith("opencv")}) == 1


def test_python_ranges_agree():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    python, *others = environment["dependencies"]
    assert python == f"python {PROJECT['requires-python']}"
    assert others == ["pip", {"pip": ["-e .[dev]"]}]
    oldest = re.search(r"^OLDEST = \((\d+), (\d+)\)$", (ROOT / "run.py").read_text(), re.M)
    assert PROJECT["requires-python"].startswith(f">={oldest[1]}.{oldest[2]},")


def test_constraints_pin_every_dependency_within_its_range():
    pins = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        pin = Requirement(line)
        pins.setdefault(pin.name.lower(), []).append(Version(str(pin.specifier)[2:]))
    extras = PROJECT["optional-dependencies"].values()
    wanted = [Requirement(r) for r in [*PROJECT["dependencies"], *(r for e in extras for r in e)]]
    for requirement in wanted:
        if requirement.name == PROJECT["name"]:
            continue
        assert requirement.name in pins, f"{requirement.name}: run uv pip compile again"
        assert all(pin in requirement.specifier for pin in pins[requirement.name])


@pytest.mark.parametrize("words", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff_is_content(words):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *words, "--no-cache", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_test_is_collected_and_every_module_linted(pytestconfig):
    code = {path.relative_to(ROOT) for path in project_files() if path.suffix == ".py"}
    skipped = pytestconfig.getini("norecursedirs")
    folders = {part for path in code for part in path.parts[:-1] if path.parts[0] == "tests"}
    assert not [part for part in folders if any(fnmatch(part, bad) for bad in skipped)]
    listing = [sys.executable, "-m", "ruff", "check", "--show-files", "."]
    done = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True)
    assert not code - {Path(line).relative_to(ROOT) for line in done.stdout.splitlines()}


@by_file
def test_recipe_file_is_flat_and_of_the_declared_types(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"^[^#\n]*:[^#\n]*\b\d+e[-+]?\d", text, re.M), "write 1.0e-3"
    values = yaml.safe_load(text)
    kind = RECIPES[path.parent.name]
    if base := values.pop("base", None):
        whole = yaml.safe_load((path.parent / base).read_text(encoding="utf-8"))
        assert re.match(r"(#.*\n)*base: ", text), "base comes first"
        assert not [n for n, v in values.items() if whole.get(n) == v], "only what differs"
    assert set(values) <= set(kind.knobs()) - {"dataset", "source", "data_root", "recipe"}
    for name, value in values.items():
        items = value if isinstance(value, list) else [value]
        assert all(isinstance(item, int | float | str | NoneType) for item in items)
        if simple_type(kind, name) is float or name in ("scale_range", "test_scales"):
            assert all(type(item) is float for item in items), f"{name}: write floats with a dot"


@by_recipe
@pytest.mark.parametrize("real", [True, False], ids=["real", "sample"])
def test_recipe_loads(path, real, tmp_path, monkeypatch):
    dataset, _, variant = path.stem.partition("-")
    for folder in ("LSP", "mpii", "PennAction", "coco"):
        (tmp_path / folder).mkdir()
    source = {"data_root": str(tmp_path)} if real else {"source": "sample"}
    wishes = {"dataset": dataset, "recipe": variant or "paper", **source}
    bound = bind(path.parent.name, wishes)
    written = read_recipe(path.parent.name, path.name)
    if real:
        for name, value in written.items():
            held = getattr(bound.recipe, name)
            assert value == (list(held) if isinstance(held, tuple) else held)
    family = bound.recipe.network.partition("_")[0]  # the sample may take a smaller one
    assert family in written["network"] and bound.recipe.paper == path.parent.name
    if not real:
        try_shapes(bound.recipe, data_of(bound.recipe.dataset).skeleton)


@pytest.mark.parametrize("stem", STEMS)
def test_a_paper_has_recipe_model_notebook_and_test(stem):
    quartet = [f"posekit/models/{stem}.py", f"notebooks/train_{stem}.ipynb"]
    quartet += [f"params/{stem}/sample.yaml", f"tests/models/test_{stem}.py"]
    assert not [name for name in quartet if not (ROOT / name).is_file()]


def cells(path: Path) -> list[tuple[str, dict]]:
    book = json.loads(path.read_text(encoding="utf-8"))
    return [("".join(c["source"]), c) for c in book["cells"] if c["cell_type"] == "code"]


def tags(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


@by_name
def test_notebook_is_small_and_clean(path):
    book = json.loads(path.read_text(encoding="utf-8"))
    assert book["metadata"]["kernelspec"]["name"] == "python3"
    assert "widgets" not in book["metadata"] and "papermill" not in book["metadata"]
    code = cells(path)
    assert len(code) <= 16
    assert [i for i, (_, cell) in enumerate(code) if "parameters" in tags(cell)] == [0]
    for number, (source, cell) in enumerate(code):
        assert number == 0 or source.count("\n") < 22  # the parameters cell has one a line
        assert not re.search(r"^\s*(class |[!%](?!matplotlib))", source, re.M)
        assert not re.search(r"\b(interact|interactive|interactive_output|Output)\(", source)
        kept = "keep_output" in tags(cell)
        assert bool(cell["execution_count"]) == kept, "run python -m posekit clean"
        assert kept or not cell["outputs"], "run python -m posekit clean"


def simple_type(recipe: type, name: str) -> type:
    kind = recipe.model_fields[name].annotation
    if get_origin(kind) is Literal:
        return str
    if get_origin(kind) is tuple:
        return list
    return next((k for k in get_args(kind) if k is not NoneType), kind)


def notebook_parameters(path: Path) -> dict[str, tuple[str, object]]:
    """Names of the parameters cell with their written types and defaults, as papermill reads it."""
    source = cells(path)[0][0]
    for line in source.splitlines():
        if line.startswith("# ") and "=" not in line:
            continue
        assert line.count("=") == 1 and "#" in line, f"one '=' and a meaning a line: {line}"
    body = ast.parse(source).body
    assert all(isinstance(node, ast.AnnAssign) for node in body)
    return {n.target.id: (ast.unparse(n.annotation), ast.literal_eval(n.value)) for n in body}


@by_training
def test_parameters_cell_agrees_with_the_recipe(path):
    found, kind = notebook_parameters(path), RECIPES[path.stem.removeprefix("train_")]
    assert set(found) == set(kind.knobs())
    assert {name: written for name, (written, _) in found.items()} == {
        name: simple_type(kind, name).__name__ for name in kind.knobs()
    }
    defaults = {name: default for name, (_, default) in found.items() if default is not None}
    assert defaults == {name: kind.model_fields[name].default for name in defaults}
    assert set(defaults) <= {"dataset", "source"}


@by_training
def test_later_cells_leave_the_parameters_alone(path):
    knobs = RECIPES[path.stem.removeprefix("train_")].knobs()
    for source, _ in cells(path)[1:]:
        nodes = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Name)]
        for name in {n.id for n in nodes if isinstance(n.ctx, ast.Store)}:
            # bind would take them for parameters, or for misspelt ones, when it runs again.
            assert name not in knobs and not difflib.get_close_matches(name, knobs, 1, 0.8), name
