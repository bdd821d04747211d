"""The few things that are not a notebook: `python -m posekit run|train|report|clean|doctor`."""

import argparse
import os
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from .config.recipes import bind
from .errors import PosekitError
from .files.places import DATASETS, data_root, find_data, project_root
from .files.writing import write_bytes, write_text

PACKAGES = (
    "torch torchvision numpy scipy pandas opencv-python matplotlib pydantic safetensors lmdb "
    "pycocotools jupyterlab papermill nbval"
).split()


def main(words: list[str] | None = None) -> int:
    """Run one command; the exit status is 0, 1 for a failed run, 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m posekit", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    run = commands.add_parser("run", help="run a paper's notebook on a data set with papermill")
    run.add_argument("paper", help="lpm, cpm, ...: notebooks/train_<paper>.ipynb")
    run.add_argument("dataset", help="LSP, MPII, PennAction or COCO")
    pair = {"nargs": 2, "action": "append", "default": [], "metavar": ("NAME", "VALUE")}
    run.add_argument("-p", dest="parameters", help="set a parameter, repeatable", **pair)
    run.add_argument("-o", dest="out", type=Path, help="also keep the executed notebook here")
    run.set_defaults(do=lambda a: run_notebook(a.paper, a.dataset, dict(a.parameters), a.out))

    train = commands.add_parser(
        "train", help="train without a notebook; torchrun starts it once for every device"
    )
    train.add_argument("paper", help="lpm, cpm, ...")
    train.add_argument("dataset", help="LSP, MPII, PennAction or COCO")
    train.add_argument("-p", dest="parameters", help="set a parameter, repeatable", **pair)
    train.set_defaults(do=lambda a: train_alone(a.paper, a.dataset, dict(a.parameters)))

    report = commands.add_parser("report", help="rebuild reports/index.html")
    report.set_defaults(do=lambda a: rebuild_index())

    clean = commands.add_parser("clean", help="strip outputs, except of cells tagged keep_output")
    clean.add_argument("notebooks", nargs="*", type=Path, help="all of notebooks/ by default")
    clean.set_defaults(do=lambda a: clean_notebooks(a.notebooks))

    doctor = commands.add_parser("doctor", help="what is installed, which data and weights")
    doctor.add_argument("--data-root", help="the folder that holds coco, LSP, mpii, PennAction")
    doctor.add_argument("--weights", type=Path, help="a further folder of weight files")
    doctor.set_defaults(do=lambda a: examine(a.data_root, a.weights))

    arguments = parser.parse_args(words)
    try:
        return arguments.do(arguments)
    except PosekitError as error:
        print(error, file=sys.stderr)
        return 2


def run_notebook(
    paper: str, dataset: str, parameters: dict[str, str], out: Path | None = None
) -> int:
    """Execute a paper's notebook and keep the result in the run folder as run.ipynb.

    The notebook writes the path of its run folder into the file that POSEKIT_RUN_LINK names.

    Raises:
        PosekitError: for a paper without notebook and for every parameter that cannot be.
    """
    source = project_root() / "notebooks" / f"train_{paper}.ipynb"
    if not source.is_file():
        papers = sorted(p.stem.removeprefix("train_") for p in source.parent.glob("train_*.ipynb"))
        raise PosekitError(f"no notebook of {paper!r}: there are {', '.join(papers) or 'none'}")
    parameters = {"dataset": dataset, **parameters}
    bind(paper, dict(parameters))

    import papermill

    with tempfile.TemporaryDirectory(prefix="posekit-") as folder:
        executed, link = Path(folder, "run.ipynb"), Path(folder, "link")
        os.environ["POSEKIT_RUN_LINK"] = str(link)
        status = 0
        try:
            papermill.execute_notebook(
                source,
                executed,
                parameters,
                kernel_name="python3",
                progress_bar=False,
                stdout_file=sys.stdout,
                stderr_file=sys.stderr,
            )
        except papermill.PapermillExecutionError as error:
            print(f"{source.name} stopped: {error.ename}: {error.evalue}", file=sys.stderr)
            status = 1
        finally:
            del os.environ["POSEKIT_RUN_LINK"]
            _keep(executed, link, out)
    rebuild_index()
    return status


def train_alone(paper: str, dataset: str, parameters: dict[str, str]) -> int:
    """Train, score and report without a notebook, in as many processes as torchrun has started.

    Raises:
        PosekitError: for every parameter that cannot be.
    """
    from .train import distributed
    from .workflows import training as lab

    with distributed.joined(), tempfile.TemporaryDirectory(prefix="posekit-") as folder:
        if not distributed.first():  # what the others would write, nobody needs
            os.environ["POSEKIT_REPORTS"] = folder
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        run = lab.start(paper, {"device": distributed.device(), **parameters, "dataset": dataset})
        for step in (lab.load, lab.build, lab.train):
            print(step(run), flush=True)
        if distributed.first():
            lab.curves(run)
            print(lab.evaluate(run).to_string())
            for picture in (lab.error_gallery, lab.heatmaps):
                picture(run)
            print(lab.finish(run))
    return 0


def _keep(executed: Path, link: Path, out: Path | None) -> None:
    """Put the executed notebook where it belongs, also that of a failed or interrupted run."""
    if not executed.is_file():
        return
    targets = (
        [Path(link.read_text(encoding="utf-8").strip(), "run.ipynb")] if link.is_file() else []
    )
    targets += [out] if out else []
    for target in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(target, executed.read_bytes())
        print(f"executed notebook: {target}")


def rebuild_index() -> int:
    """Scan all run folders and write reports/index.html."""
    from .reporting.pages import build_index

    print(f"report: {build_index()}")
    return 0


def clean_notebooks(paths: list[Path]) -> int:
    """Strip notebooks in place and say which ones changed."""
    import nbformat

    for path in paths or sorted((project_root() / "notebooks").glob("*.ipynb")):
        try:
            before = path.read_text(encoding="utf-8")
            notebook = nbformat.reads(before, as_version=4)
        except (OSError, ValueError, nbformat.ValidationError) as error:
            raise PosekitError(f"{path} is not a readable notebook: {error}") from error
        strip(notebook)
        after = nbformat.writes(notebook) + "\n"
        if after != before:
            write_text(path, after)
            print(f"cleaned {path}")
    return 0


def strip(notebook: dict) -> None:
    """Remove what differs from run to run; keep what nbval is meant to compare.

    nbval compares a cell only when its count is there and fails one whose count or outputs stand
    alone, so tagged cells keep both and all others lose both.
    """
    for key in set(notebook["metadata"]) - {"kernelspec", "language_info"}:
        del notebook["metadata"][key]
    notebook["metadata"].get("language_info", {}).pop("version", None)
    for cell in notebook["cells"]:
        for key in set(cell["metadata"]) - {"tags"}:
            del cell["metadata"][key]
        if cell["cell_type"] == "code" and "keep_output" not in cell["metadata"].get("tags", []):
            cell["outputs"], cell["execution_count"] = [], None


def examine(given_root: str | None, weights: Path | None = None) -> int:
    """Print what is installed, on which device networks run, which data and weights are there."""
    import torch

    from .data import DATASETS as READERS
    from .data import check

    print(f"python {sys.version.split()[0]}, posekit {metadata.version('posekit')}")
    for package in PACKAGES:
        try:
            print(f"  {package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            print(f"  {package} is missing: python3 run.py setup")
    cuda = torch.cuda.is_available()
    mps = torch.backends.mps.is_available()
    print(f"device: {torch.cuda.get_device_name() if cuda else 'mps' if mps else 'cpu'}")

    root = data_root(given_root)
    print(f"data below {root}:")
    for dataset in READERS:
        _, page, files = DATASETS[dataset]
        if find_data(dataset, root) is None:
            print(f"  {dataset}: not there; {files} from {page}")
        elif missing := check(dataset, root):
            print("\n    ".join([f"  {dataset}: incomplete", *missing]))
        else:
            print(f"  {dataset}: complete")
    return examine_weights(weights)


def examine_weights(folder: Path | None) -> int:
    """Print which weight files there are, what each one is and whether it loads."""
    from .weights.identify import identify, weight_files

    files = weight_files(folder)
    print(
        f"weights: {len(files)} files in data/weights, the runs{' and ' * bool(folder)}"
        f"{folder or ''}"
    )
    for path in files:
        print(f"  {path}: {identify(path)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
