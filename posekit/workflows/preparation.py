"""The steps of the notebook that packs Penn Action into LMDB stores, in its order."""

import time
import timeit
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import Image

from .. import data
from ..config.knobs import Source
from ..config.resolve import resolve_source
from ..config.settings import Settings, check, knob
from ..data import Annotations, EmptySplit, Folder, penn_action
from ..data.frame_store import STORES, FrameStore, build
from ..data.sample import ensure_sample
from ..errors import PosekitError
from ..files.paths import smoke
from ..files.progress import progress_lines
from ..inference.sampling import spread_rows
from ..reporting import figures
from ..reporting.run_folder import png

DATASET = "PennAction"


class PreparationSettings(Settings):
    """The parameters of the notebook."""

    source: Source = knob("auto, real or sample", "auto")
    data_root: str | None = knob("folder that holds PennAction", None)
    overwrite: bool = knob("build existing stores again", False)


@dataclass
class Preparation:
    """What every later step needs from the earlier ones.

    Attributes:
        settings: the checked parameters.
        source: real or sample, resolved.
        folder: of the data set, with labels/ and frames/; the stores are written beside them.
        tables: split -> labels of the frames that are there.
        stores: split -> what its store holds.
    """

    settings: PreparationSettings
    source: str
    folder: Path
    tables: dict[str, Annotations] = field(default_factory=dict)
    stores: dict[str, dict] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The data as titles name it."""
        return f"{DATASET} (generated sample)" if self.source == "sample" else DATASET

    @property
    def files(self) -> Folder | None:
        """The frames as files; None where only the stores are left."""
        folder = self.folder / "frames"
        return Folder(folder) if folder.is_dir() else None

    def store(self, split: str) -> FrameStore:
        """The store of a split."""
        return FrameStore(self.folder / STORES[split])

    def text(self) -> str:
        """The data, and whether existing stores are kept."""
        where = "" if self.source == "sample" else f" in {self.folder}"
        action = "built again" if self.settings.overwrite else "kept"
        return f"{self.label}{where}; existing stores are {action}"


def start(namespace: dict[str, Any]) -> Preparation:
    """Check the notebook's parameters and find the data, or draw the sample.

    Args:
        namespace: the notebook's `globals()`.

    Raises:
        PosekitError: naming everything that is wrong with the parameters, or what to download.
    """
    title = "the prepare_pennaction notebook cannot run with this:"
    settings = PreparationSettings(**check(PreparationSettings, namespace, title))
    source, root = resolve_source(DATASET, settings.source, settings.data_root)
    root = root or ensure_sample(DATASET, smoke=smoke())
    return Preparation(settings, source, data.dataset(DATASET).find(root))


def load(job: Preparation) -> str:
    """Read the labels and see which frames are there.

    Only where the parameter source is "real" may whole sequences lack their frames; a sequence
    that has some of its frames is refused everywhere.

    Returns:
        What there is, as text.

    Raises:
        PosekitError: what is missing or damaged and where to get it.
    """
    may_lack = job.settings.source == "real"
    lines, root = [job.label], job.folder.parent
    for split in STORES:
        try:
            table = data.load(DATASET, split, root, source=job.source, allow_partial=may_lack)
        except EmptySplit as error:
            if not may_lack:
                raise
            lines.append(f"note: no {STORES[split]}: {error}")
            continue
        job.tables[split] = table
        counts = np.unique(table.sequence, return_counts=True)[1]
        lines.append(
            f"{split:5}  {len(table):7,} frames in {len(counts):5,} sequences of "
            f"{counts.min()} to {counts.max()} frames, median {np.median(counts):.0f}"
        )
        lines += [f"note: {split}: {note}" for note in table.notes]
    if not job.tables:
        raise PosekitError("\n".join(lines))
    return "\n".join(lines)


def actions(job: Preparation) -> pd.DataFrame:
    """A table of the actions: sequences in each split, frames, shortest and longest sequence."""
    parts = []
    for split, table in job.tables.items():
        sequences, frames = np.unique(table.sequence, return_counts=True)
        names = penn_action.actions(job.folder, sequences.tolist())
        parts.append(pd.DataFrame({"action": names, "split": split, "frames": frames}))
    clips = pd.concat(parts)
    counts = clips.groupby(["action", "split"]).size().unstack(fill_value=0)[list(job.tables)]
    lengths = clips.groupby("action")["frames"].agg(["sum", "min", "max"])
    lengths.columns = ["frames", "shortest", "longest"]
    return counts.add_suffix(" sequences").join(lengths).rename_axis(columns=None)


def write(job: Preparation) -> pd.DataFrame:
    """Build the stores that are not there yet; a table of what was done.

    Raises:
        PosekitError: a frame is damaged, or the folder cannot be written.
    """
    rows, overwrite = [], job.settings.overwrite
    for split, table in job.tables.items():
        path, started = job.store(split).path, time.perf_counter()
        status = "kept" if path.exists() and not overwrite else "written"
        built = build(table, path, progress_lines("frames", path.name), overwrite)
        seconds = time.perf_counter() - started
        job.stores[split] = built
        rows.append((path.name, status, built["frames"], built["bytes"] / 1e6, seconds))
    return pd.DataFrame(rows, columns=["store", "status", "frames", "MB", "seconds"]).round(1)


def contents(job: Preparation) -> str:
    """What the stores hold, and whether frames spread over them equal their files.

    Raises:
        PosekitError: a stored frame differs from its file.
    """
    lines, files = [], job.files
    for split, built in job.stores.items():
        lines.append(
            f"{STORES[split]}: {built['frames']:,} frames of {built['sequences']:,} "
            f"sequences, keys {', '.join(built['first'])} ..."
        )
        if files:
            names, store = _names(job.tables[split], 200), job.store(split)
            if odd := [name for name in names if store.encoded(name) != files.encoded(name)]:
                raise PosekitError(f"{store.path}: {odd[0]} differs from its file: set overwrite")
            lines.append(f"  {len(names)} of them read back: byte for byte the files")
    return "\n".join(lines)


def _names(table: Annotations, count: int) -> list[str]:
    """Names of some frames, evenly spread over a table."""
    return table.image[spread_rows(len(table), count)].tolist()


def contact_sheet(job: Preparation, columns: int = 6) -> Any:
    """Frames read from the stores with their annotated joints, one row a split."""
    chosen = [(t, row) for t in job.tables.values() for row in spread_rows(len(t), columns)]
    figure = figures.skeleton_grid(
        [job.store(table.split).read(str(table.image[row])) for table, row in chosen],
        [table.keypoints[row] for table, row in chosen],
        [table.visible[row] for table, row in chosen],
        skeleton=chosen[0][0].skeleton,
        title=f"Read from the stores: {job.label}",
        columns=columns,
        labels=[f"{table.split} {table.image[row]}" for table, row in chosen],
    )
    return Image(data=png(figure), alt="Frames of the stores with their annotated joints.")


def timing(job: Preparation, count: int = 2000) -> str:
    """How long frames take in random order, from the store and from their files.

    Both are read once before, so that neither waits for a disk.
    """
    if job.files is None:
        return "frames/ is not here: there is nothing to compare the stores with"
    split, table = next(iter(job.tables.items()))
    names = np.random.default_rng(0).permutation(_names(table, count)).tolist()
    sources = {"store": job.store(split), "files": job.files}
    lines = [f"{len(names)} frames in random order, all in memory"]
    for method, title in (("encoded", "bytes only"), ("read", "with decoding")):
        seconds = {}
        for name, source in sources.items():
            read = getattr(source, method)
            times = timeit.repeat(lambda read=read: [read(n) for n in names], number=1, repeat=2)
            seconds[name] = min(times)
        rates = ", ".join(f"{name} {len(names) / s:,.0f}/s" for name, s in seconds.items())
        ratio = seconds["files"] / seconds["store"]
        lines.append(f"{title:13}  {rates}: the store is {ratio:.1f} times as fast")
    return "\n".join(lines)
