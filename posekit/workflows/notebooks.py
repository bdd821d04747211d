"""Notebooks as files: run one, clean them, renew the parameters cell, begin one for a new paper."""

import logging
import os
import re
import sys
import tempfile
from pathlib import Path
from types import NoneType, SimpleNamespace
from typing import Any, Literal, get_args, get_origin

from ..config.families import settings_of
from ..config.recipes import read_recipe, recipe_file, usual_dataset
from ..config.resolve import Config, resolve
from ..data.registry import datasets
from ..errors import KEPT, PosekitError, Stopped
from ..files.paths import project_root, reports_root
from ..files.progress import QUIET, heartbeat, say
from ..files.writing import write_bytes, write_text
from ..models import describe, options_of
from ..models.registry import FIRST_PAPER
from ..reporting.pages import build_index

# The knobs that people turn, in the order of the parameters cell; all others are accepted as well.
_SHOWN = (
    *("dataset", "source", "data_root", "recipe", "eval_split", "network", "width", "image_size"),
    *("init", "occlusion", "epochs", "batch_size", "lr", "flip_test", "device"),
    "interactive",
)
_FAMILY = {"pose_machine": ("frames", "test_scales"), "top_down": ("boxes",)}
_USUAL = ("width", "weight_init")  # options of most networks


def notebook_path(paper: str) -> Path:
    """Where a paper's training notebook lies."""
    return project_root() / "notebooks" / f"train_{paper}.ipynb"


def run(
    paper: str, dataset: str | None, parameters: dict[str, str], out: Path | None = None
) -> int:
    """Execute a paper's notebook and keep the result in the run folder as run.ipynb.

    Without a data set it is the paper's first. The notebook writes the path of its run folder into
    the file that POSEKIT_RUN_LINK names.

    Returns:
        0, 1 for a run that failed, 130 for one that was interrupted.

    Raises:
        PosekitError: for a paper without notebook and for every parameter that cannot be.
    """
    source = notebook_path(paper)
    parameters = {"dataset": dataset or usual_dataset(paper), **parameters}
    config = resolve(paper, dict(parameters))
    if not source.is_file():
        raise PosekitError(f"no {source}: begin it with python -m posekit notebook {paper}")
    book, _ = _read(source)
    say(_plan(config, book))
    with tempfile.TemporaryDirectory(prefix="posekit-") as folder:
        executed, link = Path(folder, "run.ipynb"), Path(folder, "link")
        os.environ["POSEKIT_RUN_LINK"] = str(link)
        try:
            status = _execute(source, executed, parameters)
        finally:  # a failed or interrupted run keeps its notebook as well
            del os.environ["POSEKIT_RUN_LINK"]
            targets = [out] if out else []
            if link.is_file():
                targets.append(Path(link.read_text(encoding="utf-8").strip(), "run.ipynb"))
            for target in targets if executed.is_file() else []:
                target.parent.mkdir(parents=True, exist_ok=True)
                write_bytes(target, executed.read_bytes())
                print(f"executed notebook: {target}")
    print(f"report: {build_index()}")
    return status


def _plan(config: Config, book: Any) -> str:
    """What a run will do, in five lines."""
    names, data = config.settings.dataset, "real data"
    if config.source == "sample":
        folders = " and ".join(f"data/{spec.folder}" for spec in datasets(names))
        asked = config.origins["source"] == "you"
        data = "the generated sample" + f", as there is no {folders}" * (not asked)
    sentences = re.findall(
        r"What to expect\.\W*(.+)", "\n".join(c["source"] for c in book["cells"])
    )
    expected = sentences[0].split(". ")[0] if sentences else "the first epoch will tell"
    place = reports_root() / f"{config.paper}-{names}..."
    return "\n".join(
        [
            f"network  {config.network}, trained for {config.settings.epochs} epochs",
            f"data     {names}: {data}",
            f"expect   {expected}",
            f"result   {place}/report.html, listed in {reports_root() / 'index.html'}",
            "Ctrl-C is safe: the same line goes on after the last whole epoch.",
        ]
    )


def _execute(source: Path, executed: Path, parameters: dict[str, str]) -> int:
    """Run a notebook; its headings, what it prints and why it stopped go to the terminal."""
    import papermill

    headings = ["the start of Python"]

    def show_heading(cell: Any, cell_index: int) -> None:
        heading = re.match("#+ (.+)", cell.source)
        if cell.cell_type == "markdown" and heading:
            headings.append(heading[1])
            say(f"\n{heading[1]}")

    screen = SimpleNamespace(write=lambda text: say(text, end=""), flush=lambda: None)
    logging.getLogger("papermill").setLevel(logging.ERROR)  # it warns of knobs that are known here
    shown = {"stdout_file": screen, "stderr_file": screen, "progress_bar": False}
    shown |= {
        "on_cell_start": show_heading,
        "extra_arguments": ["--IPKernelApp.log_level=CRITICAL"],
    }
    try:
        with heartbeat(lambda: headings[-1], QUIET + 5):  # the notebook has its own
            papermill.execute_notebook(source, executed, parameters, kernel_name="python3", **shown)
    except papermill.PapermillExecutionError as error:
        stopped = error.ename == Stopped.__name__  # the kernel was the first to get Ctrl-C
        what = "\nStopped." if stopped else f"{source.name} stopped: {error.ename}:"
        print(what, error.evalue, file=sys.stderr)
        return 130 if stopped else 1
    except KeyboardInterrupt:
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it would tell of the cell again
        print(f"\nStopped. {KEPT}", file=sys.stderr)
        return 130
    return 0


def clean(paths: list[Path]) -> None:
    """Strip notebooks in place, all of notebooks/ by default, and say which ones changed."""
    for path in paths or sorted((project_root() / "notebooks").glob("*.ipynb")):
        book, before = _read(path)
        strip(book)
        _write(path, book, before, "cleaned")


def strip(notebook: dict, kept: tuple[str, ...] = ("keep_output",)) -> None:
    """Remove what differs from run to run; keep what nbval is meant to compare, by a cell's tags.

    nbval compares a cell only when its count is there and fails one whose count or outputs stand
    alone, so tagged cells keep both and all others lose both.
    """
    for key in set(notebook["metadata"]) - {"kernelspec", "language_info"}:
        del notebook["metadata"][key]
    notebook["metadata"].get("language_info", {}).pop("version", None)
    for cell in notebook["cells"]:
        for key in set(cell["metadata"]) - {"tags"}:
            del cell["metadata"][key]
        if cell["cell_type"] == "code" and not set(kept) & set(cell["metadata"].get("tags", [])):
            cell["outputs"], cell["execution_count"] = [], None


def renew(paper: str) -> None:
    """Renew the parameters cell of a paper's notebook, or begin the notebook of a new paper.

    A new one has the cells of the notebook of its family's first paper.

    Raises:
        PosekitError: the paper has no network or recipe, or its notebook cannot be read.
    """
    path, source = notebook_path(paper), parameters_cell(paper)
    if path.exists():
        book, before = _read(path)
        _parameters(book)["source"] = source
        _write(path, book, before, "renewed")
        return
    about = describe(_first_recipe(paper)["network"])
    book, _ = _read(notebook_path(FIRST_PAPER[about.family]))
    strip(book, kept=())  # what is kept and said there is of another paper
    _parameters(book)["source"] = source
    for cell in book["cells"]:
        cell["source"] = re.sub(r'lab\.start\("\w+"', f'lab.start("{paper}"', cell["source"])
        if cell["cell_type"] == "markdown":
            heading = cell["source"].splitlines()[0]
            cell["source"] = heading if heading.startswith("##") else f"# {about.paper}"
    _write(path, book, "", "say what the paper claims and why each step is there in")


def _parameters(book: Any) -> Any:
    return next(c for c in book["cells"] if "parameters" in c["metadata"].get("tags", []))


def _first_recipe(paper: str) -> dict[str, Any]:
    return read_recipe(paper, recipe_file(paper, usual_dataset(paper)))


def parameters_cell(paper: str) -> str:
    """The parameters cell of a paper's notebook."""
    recipe = _first_recipe(paper)
    network = recipe["network"]
    fields = settings_of(network).model_fields
    special = [n for n in options_of(network) if n not in _USUAL]
    special += ["rounds"] if "rounds" in recipe else []
    at = _SHOWN.index("init")
    names = [*_SHOWN[:at], *special, *_FAMILY[describe(network).family], *_SHOWN[at:]]
    given = {"dataset": f'"{usual_dataset(paper)}"', "source": '"auto"'}
    lines = [
        f"{name}: {_type_name(fields[name].annotation)} = {given.get(name)}"
        f"  # {fields[name].description}"
        for name in names
    ]
    title = "# None takes the recipe's value; every other knob is a parameter too"
    return "\n".join([title, *lines])


def _type_name(annotation: Any) -> str:
    """The type of a knob as papermill shows it."""
    if get_origin(annotation) is Literal:
        return "str"
    if get_origin(annotation) is tuple:
        return "list"
    parts = [part for part in get_args(annotation) if part is not NoneType]
    return _type_name(parts[0]) if parts else annotation.__name__


def _read(path: Path) -> tuple[Any, str]:
    import nbformat

    try:
        text = path.read_text(encoding="utf-8")
        return nbformat.reads(text, as_version=4), text
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise PosekitError(f"{path} is not a readable notebook: {error}") from error


def _write(path: Path, book: Any, before: str, done: str) -> None:
    import nbformat

    after = nbformat.writes(book) + "\n"
    if after != before:
        write_text(path, after)
        print(f"{done} {path}")
