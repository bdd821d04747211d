"""The few things that are not a notebook; `python -m posekit --help` lists them."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from .errors import KEPT, PosekitError, loading
from .files.progress import heartbeat, say

_PAIR = {"nargs": 2, "action": "append", "default": [], "metavar": ("NAME", "VALUE")}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the status is 0, 1 for a failed run, 2 for bad input, 130 for Ctrl-C."""
    parsed = _parser().parse_args(arguments)
    try:
        with loading():
            return parsed.do(parsed) or 0
    except PosekitError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{error}; what was written before is kept", file=sys.stderr)
        return 1
    except KeyboardInterrupt as error:
        print(f"\nStopped. {str(error) or KEPT}", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m posekit", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, do: object, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text)
        added.set_defaults(do=do)
        return added

    run = command("run", _run, "run a paper's notebook on a data set with papermill")
    train = command("train", _train, "train without a notebook; torchrun starts one a device")
    for added in (run, train):
        added.add_argument("paper", help="lpm, cpm, ...: notebooks/train_<paper>.ipynb")
        several = "LSP, MPII, PennAction or COCO; the paper's first by default"
        added.add_argument("dataset", nargs="?", help=several)
        added.add_argument("-p", dest="parameters", help="set a parameter, repeatable", **_PAIR)
    run.add_argument("-o", dest="out", type=Path, help="also keep the executed notebook here")
    command("report", _report, "rebuild reports/index.html")
    clean = command("clean", _clean, "strip outputs, except of cells tagged keep_output")
    clean.add_argument("notebooks", nargs="*", type=Path, help="all of notebooks/ by default")
    notebook = command("notebook", _notebook, "renew a notebook's parameters cell, or begin one")
    notebook.add_argument("papers", nargs="+", help="lpm, cpm, ... or a new paper's stem")
    knobs = command("knobs", _knobs, "every knob: meaning, default, recipe value, source")
    knobs.add_argument("paper", help="lpm, cpm, ...")
    knobs.add_argument("dataset", nargs="?", help="whose recipe; the paper's first by default")
    sweep = command("sweep", _sweep, "run a table of papers, data sets, knobs and seeds")
    sweep.add_argument("file", type=Path, help="sweeps/<name>.yaml")
    sweep.add_argument("--scheduler", help="address of a Dask scheduler; processes here by default")
    sweep.add_argument("--cores", type=int, default=2, help="of a job on a machine without a GPU")
    doctor = command("doctor", _doctor, "what is installed, which data and weights are there")
    doctor.add_argument("--data-root", help="the folder that holds coco, LSP, mpii, PennAction")
    doctor.add_argument("--weights", type=Path, help="a further folder of weight files")
    return parser


# Each command imports what it needs: `--help` and errors are instant.


def _run(arguments: argparse.Namespace) -> int:
    say(f"{arguments.paper} on {arguments.dataset or 'its first data set'}: loading PyTorch")
    with heartbeat(lambda: "loading PyTorch"):
        from .workflows import notebooks

    parameters = dict(arguments.parameters)
    return notebooks.run(arguments.paper, arguments.dataset, parameters, arguments.out)


def _train(arguments: argparse.Namespace) -> None:
    """Train, score and report without a notebook, in as many processes as torchrun has started."""
    from .config.recipes import usual_dataset
    from .train import distributed
    from .workflows import training as lab

    dataset = arguments.dataset or usual_dataset(arguments.paper)
    parameters = dict(arguments.parameters) | {"dataset": dataset}
    with distributed.process_group(), tempfile.TemporaryDirectory(prefix="posekit-") as folder:
        if not distributed.is_first():  # only the first process writes
            os.environ["POSEKIT_REPORTS"] = folder
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        exp = lab.start(arguments.paper, {"device": distributed.device(), **parameters})
        with exp.run.noting_errors():
            for step in (lab.load, lab.build, lab.train):
                with heartbeat(lambda: step.__name__):  # noqa: B023
                    say(step(exp))
            if distributed.is_first():
                with heartbeat(lambda: "the score and the report"):
                    lab.curves(exp)
                    say(lab.evaluate(exp).to_string())
                    lab.error_gallery(exp)
                    lab.heatmaps(exp)
                    say(lab.finish(exp))


def _sweep(arguments: argparse.Namespace) -> int:
    from .workflows.sweep.running import sweep

    return min(1, sweep(arguments.file, arguments.scheduler, arguments.cores))


def _report(_: argparse.Namespace) -> None:
    from .reporting.pages import build_index

    print(f"report: {build_index()}")


def _clean(arguments: argparse.Namespace) -> None:
    from .workflows import notebooks

    notebooks.clean(arguments.notebooks)


def _notebook(arguments: argparse.Namespace) -> None:
    from .workflows import notebooks

    for paper in arguments.papers:
        notebooks.renew(paper)


def _knobs(arguments: argparse.Namespace) -> None:
    from .workflows import doctor

    print(doctor.knobs(arguments.paper, arguments.dataset))


def _doctor(arguments: argparse.Namespace) -> None:
    from .workflows import doctor

    print(doctor.examine(arguments.data_root, arguments.weights))


if __name__ == "__main__":
    sys.exit(main())
