"""What holds for the whole repository: lists that agree, lint, recipes, notebooks, stems."""

import ast
import csv
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
import torch
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from posekit.config.families import settings_of
from posekit.config.recipes import own_values, read_recipe
from posekit.config.resolve import resolve
from posekit.config.settings import Settings
from posekit.data import dataset as data_of
from posekit.models import cost, create_model, describe, list_models
from posekit.workflows.compare.setup import CompareSettings
from posekit.workflows.conversion import ConversionKnobs
from posekit.workflows.evaluation import EvaluationKnobs
from posekit.workflows.explore.setup import ExploreKnobs
from posekit.workflows.notebooks import parameters_cell
from posekit.workflows.own_data import OwnKnobs

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PARAMS = sorted((ROOT / "params").glob("*/*.yaml"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TRAINING = [path for path in NOTEBOOKS if path.stem.startswith("train_")]
TRAINING.remove(ROOT / "notebooks" / "train_own.ipynb")  # of no paper
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
    known = annotations(path.parent.name)
    if base := values.pop("base", None):
        whole = yaml.safe_load((path.parent / base).read_text(encoding="utf-8"))
        assert re.match(r"(#.*\n)*base: ", text), "base comes first"
        assert not [n for n, v in values.items() if whole.get(n) == v], "only what differs"
    assert set(values) <= set(known) - {"dataset", "source", "data_root", "recipe"}
    for name, value in values.items():
        items = value if isinstance(value, list) else [value]
        assert all(isinstance(item, int | float | str | NoneType) for item in items)
        if simple_type(known[name]) is float or name in ("scale_range", "test_scales"):
            assert all(type(item) is float for item in items), f"{name}: write floats with a dot"


@by_recipe
@pytest.mark.parametrize("real", [True, False], ids=["real", "sample"])
def test_recipe_loads(path, real, tmp_path, monkeypatch):
    dataset, _, variant = path.stem.partition("-")
    for folder in ("LSP", "mpii", "PennAction", "coco"):
        (tmp_path / folder).mkdir()
    source = {"data_root": str(tmp_path)} if real else {"source": "sample"}
    config = resolve(path.parent.name, {"dataset": dataset, "recipe": variant or "paper", **source})
    settings = config.settings
    written = read_recipe(path.parent.name, path.name)
    if real:
        for name, value in own_values(written, path.parent.name, settings.network).items():
            held = getattr(settings, name)
            assert value == (list(held) if isinstance(held, tuple) else held)
    family = settings.network.partition("_")[0]  # the sample may take a smaller one
    assert family in written["network"] and config.paper == describe(written["network"]).stem
    if not real:
        settings.check_shapes(data_of(settings.dataset).skeleton)


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
    for source, cell in code:
        assert source.count("\n") < 22
        assert not re.search(r"^\s*(class |[!%](?!matplotlib))", source, re.M)
        assert not re.search(r"\b(interact|interactive|interactive_output|Output)\(", source)
        kept = "keep_output" in tags(cell)
        assert bool(cell["execution_count"]) == kept, "run python -m posekit clean"
        assert kept or not cell["outputs"], "run python -m posekit clean"


def annotations(paper: str) -> dict[str, object]:
    """The knobs of all networks of a paper, with their declared types."""
    kinds = [settings_of(name) for name in list_models() if describe(name).stem == paper]
    return {n: field.annotation for kind in kinds for n, field in kind.model_fields.items()}


def simple_type(kind: object) -> type:
    if get_origin(kind) is Literal:
        return str
    if get_origin(kind) is tuple:
        return list
    options = [simple_type(part) for part in get_args(kind) if part is not NoneType]
    return options[0] if options else kind


def notebook_parameters(path: Path) -> list[tuple[str, str, object, str]]:
    """Names of the parameters cell with type, default and meaning, as papermill reads it."""
    source = cells(path)[0][0]
    lines = [line for line in source.splitlines() if not line.startswith("# ")]
    body = ast.parse(source).body
    assert all(isinstance(node, ast.AnnAssign) for node in body) and len(body) == len(lines)
    assert all(line.count("=") == 1 for line in lines)
    return [
        (n.target.id, ast.unparse(n.annotation), ast.literal_eval(n.value), line.split("  # ")[1])
        for n, line in zip(body, lines, strict=True)
    ]


@by_training
def test_parameters_cell_is_the_one_that_posekit_writes(path):
    paper = path.stem.removeprefix("train_")
    cell = cells(path)[0][0]
    assert len(cell.splitlines()) <= 20
    assert cell == parameters_cell(paper), f"run python -m posekit notebook {paper}"
    resolve(paper, {name: value for name, _, value, _ in notebook_parameters(path)})


@pytest.mark.parametrize(("stem", "own"), [
    ("evaluate", EvaluationKnobs), ("convert_weights", ConversionKnobs),
    ("compare", CompareSettings), ("explore", ExploreKnobs), ("train_own", OwnKnobs),
])  # fmt: skip
def test_parameters_cell_of_other_notebooks_declares_knobs(stem, own: type[Settings]):
    kinds = [own]
    if own in (EvaluationKnobs, ExploreKnobs, OwnKnobs):
        training = own is not EvaluationKnobs
        kinds += [settings_of(name, training=training) for name in list_models()]
    for name, written, value, meaning in notebook_parameters(ROOT / f"notebooks/{stem}.ipynb"):
        fields = [kind.model_fields[name] for kind in kinds if name in kind.model_fields]
        assert {simple_type(field.annotation).__name__ for field in fields} == {written}
        assert meaning in {field.description for field in fields}
        assert value is None or value in {field.default for field in fields}


@by_training
def test_later_cells_leave_the_parameters_alone(path):
    knobs = annotations(path.stem.removeprefix("train_"))
    for source, _ in cells(path)[1:]:
        nodes = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Name)]
        for name in {n.id for n in nodes if isinstance(n.ctx, ast.Store)}:
            # resolve would take them for parameters, or for misspelt ones, when it runs again.
            assert name not in knobs and not difflib.get_close_matches(name, knobs, 1, 0.8), name


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_metrics_in_texts_do_not_become_mail_addresses(path):
    book = json.loads(path.read_text(encoding="utf-8"))
    texts = ["".join(c["source"]) for c in book["cells"] if c["cell_type"] == "markdown"]
    bare = re.sub(r"```.*?```|`[^`]*`", "", "\n\n".join(texts), flags=re.DOTALL)
    assert not re.findall(r"\w+@[\d.]+\d", bare), "write `PCK@0.2`, with backticks"


def table_of_networks() -> list[list[str]]:
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("## The networks")[1]
    lines = [line for line in text.split("\n## ")[0].splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize("row", table_of_networks(), ids=lambda row: row[0])
def test_networks_in_the_readme_cost_what_they_cost(row):
    name, dataset, size, params, gmacs, *_ = row
    height, width = map(int, size.split("x"))
    model = create_model(name, num_keypoints={"COCO": 17}.get(dataset, 14))
    images = torch.empty(1, *[1] * (name == "lpm"), 3, height, width, device="meta")
    centres = [torch.empty(1, 1, height, width, device="meta")] * (name in ("cpm", "lpm"))
    found = cost(model, images, *centres)
    assert (f"{found.params / 1e6:.2f}", f"{found.gmacs:.2f}") == (params, gmacs)


def test_scores_in_the_readme_are_published_ones_with_metric_and_source():
    known = {}
    for file in ("published.csv", "published_coco.csv"):
        for row in csv.DictReader((ROOT / "params" / file).read_text("utf-8").splitlines()):
            size = re.search(r"image_size \"\[(\d+), (\d+)\]", row["line"])
            network = re.search(r"-p model (\S+)", row["line"])
            if network:
                key = (network[1], row["dataset"], f"{row['metric']}; {row['source']}")
                size = f"{size[1]}x{size[2]}" if size else ""
                known.setdefault(key, {}).setdefault(row.get("ap") or row["mean"], size)
    table = table_of_networks()
    assert {row[0] for row in table} == {row[0] for row in table} & {*list_models()}
    for name, dataset, size, _, _, score, source in table:
        if score == "–":
            assert name not in {key[0] for key in known}
        else:
            assert known[name, dataset, source][score] in (size, "")
