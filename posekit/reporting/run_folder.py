"""Run folders: what a run leaves behind, whole at every moment.

Every file is written beside its target and renamed over it, but for the log, which grows by a line
per epoch.
"""

import contextlib
import datetime as dt
import io
import itertools
import json
import os
import platform
import subprocess
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import IO, Any, ClassVar

import cv2
import numpy as np
import pandas as pd
import yaml
from IPython.display import Image
from matplotlib import rc_context
from matplotlib.figure import Figure
from pydantic import BaseModel

from ..config.resolve import Config
from ..data.registry import address, datasets
from ..errors import PosekitError
from ..files.paths import project_root, reports_root
from ..files.writing import fingerprint_of, remove_partials, write_bytes, write_text, writing
from .figures import STYLE
from .lock import hold
from .record import FILE, FoundRun, RunRecord, all_runs
from .tables import write_table

_PACKAGES = ("torch", "numpy", "opencv-contrib-python", "matplotlib", "pandas", "papermill")


@dataclass
class Results:
    """A folder of results: pictures, and a record that has their captions.

    Attributes:
        folder: of the results.
        record: the content of the file `record_file`, with `is_sample` and `figures`.
        lock: the open file that keeps other processes out of the folder.
    """

    folder: Path
    record: BaseModel
    lock: IO[str] | None = None
    record_file: ClassVar[str]

    def __post_init__(self) -> None:
        if self.lock:  # what is dropped unfinished releases its folder
            weakref.finalize(self, self.lock.close)

    def update(self, **fields: Any) -> None:
        """Change fields of the record and write it.

        Raises:
            ValueError: a field that the record has not, or a value of another type.
        """
        for name, value in fields.items():
            setattr(self.record, name, value)
        text = json.dumps(self.record.model_dump(mode="json"), indent=1)
        write_text(self.folder / self.record_file, text)

    def figure(self, name: str, figure: Figure, caption: str) -> Image:
        """Save a figure and return it for display.

        Args:
            name: of the file in figures/; "-sample" is appended for sample data.
            figure: from posekit.reporting.figures.
            caption: what the reader should see in it.
        """
        if self.record.is_sample and "generated sample" not in figure.get_suptitle():
            style = {"ha": "right", "va": "top", "size": 7, "color": STYLE["text.color"]}
            figure.text(0.998, 0.995, "generated sample data", **style)
        shown = self.picture(f"{name}.png", png(figure), caption)
        shown.width = round(figure.get_figwidth() * 100)  # drawn twice as fine
        return shown

    def picture(self, name: str, data: bytes, caption: str) -> Image:
        """Save an encoded picture (PNG or GIF) and return it for display."""
        stem, _, kind = name.rpartition(".")
        file = f"{stem}-sample.{kind}" if self.record.is_sample else name
        path = self.folder / "figures" / file
        with writing(path):
            path.parent.mkdir(exist_ok=True)
        write_bytes(path, data)
        self.update(figures=self.record.figures | {file: caption})
        return Image(data=data, format=kind, alt=caption)


@dataclass
class Run(Results):
    """The folder of one run, `reports/<paper>-<dataset>[-sample]-<time>/`.

    Attributes:
        tables: heading -> table, for the report.
        resumed: whether an interrupted run is being continued.
    """

    record_file = FILE
    record: RunRecord = field(default_factory=RunRecord)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    resumed: bool = False

    @classmethod
    def open(cls, config: Config, resume: bool = False) -> "Run":
        """Start a run, or continue one of the same parameters that was interrupted or failed.

        Args:
            config: the checked parameters.
            resume: continue such a run if there is one.
        """
        settings, fingerprint, stamp = config.settings, config.fingerprint(), _data_stamp(config)
        for folder, record in all_runs() if resume else ():
            if record.fingerprint != fingerprint or record.status == "finished":
                continue
            if record.data_stamp != stamp:
                print(f"{folder.name} had these parameters but other data: a new run begins")
            elif held := hold(folder):
                run = cls(folder, record, resumed=True, lock=held)
                remove_partials(folder)
                write_text(folder / "params.yaml", _params_yaml(config))
                with run.noting_errors():
                    run.update(status="running")
                return run
        sample = "-sample" * (config.source == "sample")
        folder = new_folder(f"{config.paper}-{settings.dataset.replace('+', '-')}{sample}")
        run, environment = cls(folder, lock=hold(folder)), _environment()
        write_text(folder / "params.yaml", _params_yaml(config))
        write_text(folder / "environment.json", json.dumps(environment, indent=1))
        with run.noting_errors():
            run.update(
                paper=config.paper,
                model=config.network,
                dataset=settings.scored,
                trained_on=settings.dataset if "+" in settings.dataset else "",
                source=config.source,
                split=settings.eval_split,
                seed=settings.seed,
                git_commit=environment["git_commit"],
                status="running",
                fingerprint=fingerprint,
                data_stamp=stamp,
                smoke=config.smoke,
                started=dt.datetime.now().isoformat(timespec="seconds"),
            )
        return run

    @property
    def label(self) -> str:
        """The data as titles name it."""
        return self.record.label

    def keep(self, heading: str, table: pd.DataFrame, file: str = "") -> pd.DataFrame:
        """Put a table into the report, under a heading that names the data, and return it.

        Args:
            heading: in the report.
            table: of results.
            file: name without ending, to write it as .csv, .md and .tex as well.
        """
        self.tables[f"{heading}, {self.label}"] = table
        if file:
            write_table(self.folder, file, table)
        return table

    def take_up(self) -> None:
        """Go on with a run that was interrupted and has released its folder.

        Raises:
            PosekitError: another process goes on with it.
        """
        if self.record.status != "interrupted":
            return
        if self.lock and self.lock.closed:
            if not (lock := hold(self.folder)):
                raise PosekitError(f"{self.folder.name}: another process goes on with this run")
            self.lock, self.resumed = lock, True
            weakref.finalize(self, lock.close)
        self.update(status="running")

    def note_error(self, error: BaseException) -> None:
        """Record that an error ended a run that had not finished: failed, or interrupted."""
        if self.record.status != "finished":
            status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            try:
                self.update(status=status)
            except RuntimeError:  # PyTorch says at once, here too, that one more loader was killed
                self.update(status=status)

    @contextlib.contextmanager
    def noting_errors(self) -> Iterator[None]:
        """Record an error that leaves the block."""
        try:
            yield
        except BaseException as error:
            self.note_error(error)
            raise

    def end(self, status: str) -> None:
        """Record how the run ended: finished, interrupted or failed; release its folder."""
        self.update(status=status)
        if self.lock:
            self.lock.close()


def png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    size = {"compress_level": 3}  # of 9, for speed
    with rc_context(STYLE):  # ticks are made here
        if layout := figure.get_layout_engine():  # else all is drawn once more to find it
            layout.execute(figure)
            figure.set_layout_engine(None)
        figure.savefig(buffer, format="png", dpi=200, metadata={"Software": None}, pil_kwargs=size)
    return buffer.getvalue()


def encoded(image: np.ndarray) -> bytes:
    """An image (h, w, 3) uint8 RGB as the bytes of a PNG file."""
    return cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))[1].tobytes()


def new_folder(stem: str) -> Path:
    """Make a folder `<stem>-<time>` below reports/, numbered if there is one from this second."""
    name = first = f"{stem}-{dt.datetime.now():%Y%m%d-%H%M%S}"
    for attempt in itertools.count(2):
        folder = reports_root() / name
        with writing(folder), contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            return folder
        name = f"{first}-{attempt}"


def runs_of(config: Config, runs: Sequence[FoundRun]) -> list[FoundRun]:
    """Those of the runs that have the same parameters and data, in their order."""
    same = [run for run in runs if run[1].fingerprint == config.fingerprint()]
    return [run for run in same if run[1].data_stamp == _data_stamp(config)]


def _data_stamp(config: Config) -> str:
    """A text that changes with the real data that a run reads: their folders, their label files."""
    if config.data_root is None:
        return "sample"
    found = [(spec, spec.need(config.data_root)) for spec in datasets(config.settings.dataset)]
    files = [file for spec, folder in found for file in spec.label_files(folder)]
    return fingerprint_of(files, *(str(folder.resolve()) for _, folder in found))[:16]


def _params_yaml(config: Config) -> str:
    lines = []
    for name, value, origin in config.table():
        value = address(value) if name == "dataset" else value  # another process has to find it
        text = yaml.safe_dump({name: value}, default_flow_style=True, width=1000)
        lines.append(f"{text.strip()[1:-1]}  # {origin}\n")
    return "".join(lines)


def _environment() -> dict[str, Any]:
    import torch

    return {
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "packages": {name: _version(name) for name in _PACKAGES},
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "git_commit": _git_commit(),
    }


def _version(package: str) -> str | None:
    return next((found.version for found in metadata.distributions(name=package)), None)


def _git_commit() -> str | None:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(project_root()), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        return f"{commit}+changes" if commit and git("status", "--porcelain") else commit or None
    except (OSError, subprocess.TimeoutExpired):
        return None
