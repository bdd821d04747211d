"""Run folders: what a run leaves behind, whole at every moment.

`metrics.json` says "interrupted" from the first second and "finished" only at the end, so a killed
run needs no last words. Everything is written beside its target and renamed over it, but for the
log, which grows by a line per epoch.
"""

import datetime as dt
import hashlib
import io
import json
import os
import platform
import subprocess
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, Field

from ..config.recipes import Bound
from ..files.places import find_data, project_root, reports_root
from ..files.writing import write_bytes, write_text
from ..weights import RUN_WEIGHTS
from .tables import to_latex, to_markdown

if TYPE_CHECKING:
    import pandas as pd
    from IPython.display import Image
    from matplotlib.figure import Figure

_HUGE = 1e15  # no number of a run gets there; a longer one could not be printed
_LABELS = ("*.mat", "*.json", "annot/*", "annotations/*", "labels/*")  # of all the data sets
_PACKAGES = ("torch", "numpy", "opencv-python", "matplotlib", "pandas", "papermill")


@dataclass
class Run:
    """The folder of one run, `reports/<paper>-<dataset>[-sample]-<time>/`.

    Attributes:
        folder: the run folder.
        bound: the checked parameters.
        record: the content of metrics.json.
        resumed: whether an interrupted run is being continued.
    """

    folder: Path
    bound: Bound
    record: dict[str, Any] = field(default_factory=dict)
    resumed: bool = False
    _lock: Any = None

    @classmethod
    def open(cls, bound: Bound) -> "Run":
        """Continue the run of the same parameters that was interrupted or failed, or start one."""
        recipe = bound.recipe
        stem = f"{recipe.paper}-{recipe.dataset}" + ("-sample" if bound.source == "sample" else "")
        if recipe.resume == "auto":
            for folder in sorted(reports_root().glob(f"{stem}-[0-9]*"), reverse=True):
                record = read_record(folder)
                same = record.get("fingerprint") == bound.fingerprint()
                if not same or record.get("status") == "finished":
                    continue
                if record.get("data_stamp") != _data_stamp(bound):
                    print(f"{folder.name} had these parameters but other data: a new run begins")
                elif lock := _lock(folder):
                    run = cls(folder, bound, record, resumed=True, _lock=lock)
                    run.update(status="interrupted")
                    return run
        run = cls(new_folder(stem), bound)
        run._lock = _lock(run.folder)
        run._begin()
        return run

    def _begin(self) -> None:
        recipe = self.bound.recipe
        write_text(self.folder / "params.yaml", _params_yaml(self.bound))
        environment = _environment()
        write_text(self.folder / "environment.json", json.dumps(environment, indent=1))
        self.update(
            paper=recipe.paper,
            model=recipe.network,
            dataset=recipe.dataset,
            source=self.bound.source,
            split=recipe.eval_split,
            protocol="",
            metrics={},
            baseline={},
            published={},
            n_samples=0,
            params_count=0,
            gmacs=0.0,
            seed=recipe.seed,
            epochs_done=0,
            train_seconds=0.0,
            git_commit=environment["git_commit"],
            status="interrupted",
            fingerprint=self.bound.fingerprint(),
            data_stamp=_data_stamp(self.bound),
            started=dt.datetime.now().isoformat(timespec="seconds"),
            notes=[],
            figures={},
        )

    @property
    def is_sample(self) -> bool:
        """Whether every number of this run comes from the generated sample."""
        return self.bound.source == "sample"

    @property
    def label(self) -> str:
        """The data as titles name it."""
        dataset = self.bound.recipe.dataset
        return f"{dataset} (generated sample)" if self.is_sample else dataset

    @property
    def checkpoints(self) -> Path:
        """Where training keeps its state."""
        return self.folder / "checkpoints"

    def update(self, **fields: Any) -> None:
        """Change fields of metrics.json."""
        self.record |= fields
        write_text(self.folder / "metrics.json", json.dumps(self.record, indent=1, default=float))

    def figure(self, name: str, figure: "Figure", caption: str) -> "Image":
        """Save a figure and return it for display.

        Args:
            name: of the file in figures/; "-sample" is appended for sample data.
            figure: from posekit.reporting.figures.
            caption: what the reader should see in it.
        """
        if self.is_sample:
            figure.text(0.998, 0.995, "generated sample data", ha="right", va="top", size=7)
        return self.picture(f"{name}.png", png(figure), caption)

    def picture(self, name: str, data: bytes, caption: str) -> "Image":
        """Save an encoded picture (PNG or GIF) and return it for display."""
        from IPython.display import Image

        stem, _, kind = name.rpartition(".")
        file = f"{stem}-sample.{kind}" if self.is_sample else name
        path = self.folder / "figures" / file
        path.parent.mkdir(exist_ok=True)
        write_bytes(path, data)
        self.update(figures=self.record["figures"] | {file: caption})
        return Image(data=data, format=kind, alt=caption)

    def table(self, frame: "pd.DataFrame") -> None:
        """Write the results as table.csv, table.md and table.tex."""
        write_text(self.folder / "table.csv", frame.to_csv(index=False))
        write_text(self.folder / "table.md", to_markdown(frame))
        write_text(self.folder / "table.tex", to_latex(frame))

    def end(self, status: str) -> None:
        """Say how the run ended: finished, interrupted or failed; another run may continue it."""
        self.update(status=status)
        if self._lock:
            self._lock.close()


def png(figure: "Figure") -> bytes:
    """A figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    return buffer.getvalue()


_Text = Annotated[str, AfterValidator(lambda text: text.encode("utf-8").decode())]


def _bounded(value: float) -> float:
    if abs(value) >= _HUGE:
        raise ValueError("too large")
    return value


_Number = Annotated[float, Field(strict=True), AfterValidator(_bounded)]


class _Record(BaseModel):
    """The fields of metrics.json that other runs read, as far as they are there."""

    paper: _Text = ""
    model: _Text = ""
    dataset: _Text = ""
    source: _Text = ""
    split: _Text = ""
    protocol: _Text = ""
    metric: _Text = ""
    status: _Text = ""
    started: _Text = ""
    fingerprint: _Text = ""
    metrics: dict[_Text, _Number | None] = {}
    baseline: dict[_Text, _Number | None] = {}
    published: dict[_Text, _Number | None] = {}
    figures: dict[_Text, _Text] = {}
    notes: list[_Text] = []
    n_samples: _Number = 0
    params_count: _Number = 0
    gmacs: _Number = 0
    epochs_done: _Number = 0
    train_seconds: _Number = 0


def read_record(folder: Path) -> dict[str, Any]:
    """metrics.json of a run folder; empty if there is none, or it is damaged."""
    try:
        record = json.loads((folder / "metrics.json").read_bytes())
        _Record.model_validate(record)
    except (OSError, ValueError, RecursionError):
        return {}
    return record


def all_runs(root: Path | None = None) -> list[tuple[Path, dict[str, Any]]]:
    """Run folders below reports/ with their records, newest first."""
    folders = [path.parent for path in (root or reports_root()).glob("*/metrics.json")]
    runs = [(folder, record) for folder in folders if (record := read_record(folder))]
    return sorted(runs, key=lambda run: run[1].get("started", ""), reverse=True)


def trained_runs() -> list[tuple[Path, dict[str, Any]]]:
    """Finished runs that left weights, newest first."""
    return [
        (folder, record)
        for folder, record in all_runs()
        if record.get("status") == "finished" and (folder / RUN_WEIGHTS).is_file()
    ]


def new_folder(stem: str) -> Path:
    now = dt.datetime.now().strftime("%Y%m%d-%H%M%S")
    for attempt in range(1, 1000):
        folder = reports_root() / (f"{stem}-{now}" + (f"-{attempt}" if attempt > 1 else ""))
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise FileExistsError(f"too many runs named {stem}-{now}")


def _lock(folder: Path) -> Any:
    """Hold a run folder for this process; None if another process holds it.

    The system lets go of the lock when the process ends, however it ends.
    """
    file = (folder / ".lock").open("w")
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # Windows: runs are not protected from each other
        pass
    except OSError:
        file.close()
        return None
    return file


def _data_stamp(bound: Bound) -> str:
    """What tells the real data that a run reads from others: where they are, their label files."""
    if bound.data_root is None:
        return "sample"
    folder = find_data(bound.recipe.dataset, bound.data_root)
    files = sorted(path for pattern in _LABELS for path in folder.glob(pattern))
    stats = [(path.name, (stat := path.stat()).st_size, stat.st_mtime_ns) for path in files]
    return hashlib.sha256(repr((str(folder.resolve()), stats)).encode()).hexdigest()[:16]


def _params_yaml(bound: Bound) -> str:
    lines = []
    for name, value, origin in bound.table():
        text = yaml.safe_dump({name: value}, default_flow_style=True, width=1000)
        lines.append(f"{text.strip()[1:-1]}  # {origin}\n")
    return "".join(lines)


def _environment() -> dict[str, Any]:
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "packages": {name: _version(name) for name in _PACKAGES},
        "gpu": gpu,
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "git_commit": _git_commit(),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    def git(*words: str) -> str:
        command = ["git", "-C", str(project_root()), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        return f"{commit}+changes" if commit and git("status", "--porcelain") else commit or None
    except (OSError, subprocess.TimeoutExpired):
        return None
