"""The results board: every run as plain data, which the script of reports/index.html shows.

Charts are drawn by plotly.js, which plotly's Python package brings as one file: hover, zoom and
saving as a picture without a line of ours, from disk too, when it lies beside the page.
"""

import datetime as dt
import json
import math
import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..errors import PosekitError
from ..files.paths import reports_root
from ..files.reading import read_file
from ..files.words import readable
from ..files.writing import write_bytes
from .record import FILE, LARGEST, FoundRun, RunRecord, all_runs, read_record, run_folders

PLOTLY = "assets/plotly.min.js"  # beside index.html
_POINTS = 40  # of a curve
_MAX_BYTES = 2**22  # of a log, or of a file of settings
_ELSEWHERE = "dataset: ", "source: ", "data_root: ", "device: ", "workers: "  # no part of a name


def board() -> dict[str, Any]:
    """What the board shows of all runs and demos, newest first.

    Runs with equal `protocol` can be compared, no others.
    """
    runs, knobs = [*all_runs(), *_demos()], {}
    runs.sort(key=lambda run: (run[1].started, run[0].name), reverse=True)
    known = {folder for folder, _ in runs}
    pages = {page.parent for page in reports_root().glob("*/report.html")}
    damaged = {*run_folders()} - known
    return {
        "made": dt.datetime.now().isoformat(" ", "minutes"),
        "runs": [_row(folder, record, knobs) for folder, record in runs],
        "knobs": list(knobs),
        "damaged": [readable(folder.name) for folder in sorted(damaged)],
        "pages": [[readable(f.name), link_to(f)] for f in sorted(pages - known - damaged)],
    }


def copy_plotly() -> None:
    """Put plotly.js beside the board, unless it lies there."""
    source = Path(find_spec("plotly").origin).parent / "package_data" / "plotly.min.js"
    target = reports_root() / PLOTLY
    if not target.is_file() or target.stat().st_size != source.stat().st_size:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(target, source.read_bytes())


def link_to(folder: Path) -> str:
    """A link from the board to a run's folder, whatever its name."""
    return "./" + quote(os.fsencode(folder.name))


def _demos() -> list[FoundRun]:
    """Folders of the demo notebook; a damaged record makes an empty one."""
    files = reports_root().glob("*/demo.json")
    folders = [file.parent for file in files if not (file.parent / FILE).exists()]
    return [(f, read_record(f, "demo.json") or RunRecord(paper="demo")) for f in folders]


def _row(folder: Path, record: RunRecord, knobs: dict[str, int]) -> dict[str, Any]:
    pairs, recipe, own = _settings(folder / "params.yaml")
    picture = next(folder.glob("figures/0-best*"), None)
    names = "paper model split trained smoke status trained_on started answer notes".split()
    counts = "params_count", "gmacs", "latency_ms", "train_seconds", "epochs_done"
    return {name: getattr(record, name) for name in (*names, *counts)} | {
        "name": readable(folder.name),
        "link": link_to(folder),
        "report": (folder / "report.html").is_file(),
        "picture": picture and quote(os.fsencode(picture.name)),
        "protocol": "demos" if record.paper == "demo" else record.comparable,
        "sample": record.is_sample,
        "score": record.headline,
        "decimals": record.decimals,
        "mean_pose": record.baseline.get("mean_pose"),
        "published": {} if record.is_sample else record.published,
        "columns": {n: v for n, v in record.metrics.items() if v is not None and v >= 0},
        "recipe": recipe,
        "changed": own,
        "knobs": [knobs.setdefault(pair, len(knobs)) for pair in pairs],
        "curve": _curve(folder / "log.jsonl"),
    }


def _settings(file: Path) -> tuple[list[str], str, list[str]]:
    """All knobs of params.yaml as `name: value`, the recipe, and the knobs that the reader set."""
    lines = (line.decode(errors="replace") for line in _lines(file))
    knobs = [line.rpartition("  # ")[::2] for line in lines]
    recipes = [o.removeprefix("recipe params/") for _, o in knobs if o.startswith("recipe ")]
    own = [knob for knob, origin in knobs if origin == "you" and not knob.startswith(_ELSEWHERE)]
    return [knob for knob, _ in knobs], recipes[0] if recipes else "", own


def _curve(file: Path) -> list[list[float | None]]:
    """Some epochs of a log, with their training loss and validation score; None if unknown."""
    lines = _lines(file)
    step = math.ceil(len(lines) / _POINTS) or 1
    return [*_epochs(lines[step - 1 :: step])]


def _lines(file: Path) -> list[bytes]:
    """The lines of a file that others may have written; none if it cannot be read."""
    try:
        return read_file(file, "file of a run", _MAX_BYTES).splitlines()
    except PosekitError:
        return []


def _epochs(lines: Iterable[bytes]) -> Iterable[list[float | None]]:
    for line in lines:
        try:
            record = json.loads(line)
            yield [_finite(record.get(key)) for key in ("epoch", "loss", "val")]
        except (ValueError, AttributeError, RecursionError):  # cut off, or of something else
            continue


def _finite(value: Any) -> float | None:
    known = isinstance(value, int | float) and abs(value) < LARGEST
    return float(f"{value:.5g}") if known else None
