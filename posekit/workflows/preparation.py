"""The steps of the notebook that packs Penn Action into LMDB stores, in its order."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from .. import data
from ..config.resolve import resolve_source
from ..config.settings import Settings, check
from ..data import Annotations, EmptySplit, Folder, penn_action
from ..data.frame_store import STORES, FrameStore, build
from ..data.sample import ensure_sample
from ..errors import PosekitError
from ..files.places import smoke
from ..files.progress import progress_lines
from ..inference.sampling import spread_rows
from ..reporting import figures
from ..reporting.run_folder import png

if TYPE_CHECKING:
    import pandas as pd

DATASET = "PennAction"


class PreparationSettings(Settings):
    """The parameters of the notebook."""

    source: Literal["auto", "real", "sample"] = Field("auto", description="auto, real or sample")
    data_root: str | None = Field(None, description="folder that holds PennAction")
    overwrite: bool = Field(False, description="build existing stores again")


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
    if source == "sample":
        root = ensure_sample(DATASET, smoke=smoke())
    return Preparation(settings, source, data.dataset(DATASET).find(root))


def load(preparation: Preparation) -> str:
    """Read the labels and see which frames are there.

    Only where the parameter source is "real" may whole sequences lack their frames; a sequence
    that has some of its frames is refused everywhere.

    Returns:
        What there is, as text.

    Raises:
        PosekitError: what is missing or damaged and where to get it.
    """
    allow_partial = preparation.settings.source == "real"
    lines, root = [preparation.label], preparation.folder.parent
    for split in STORES:
        try:
            table = data.load(
                DATASET, split, root, source=preparation.source, allow_partial=allow_partial
            )
        except EmptySplit as error:
            if not allow_partial:
                raise
            lines.append(f"note: no {STORES[split]}: {error}")
            continue
        preparation.tables[split] = table
        counts = np.unique(table.sequence, return_counts=True)[1]
        lines.append(
            f"{split:5}  {len(table):7,} frames in {len(counts):5,} sequences of "
            f"{counts.min()} to {counts.max()} frames, median {np.median(counts):.0f}"
        )
        lines += [f"note: {split}: {note}" for note in table.notes]
    if not preparation.tables:
        raise PosekitError("\n".join(lines))
    return "\n".join(lines)


def actions(preparation: Preparation) -> "pd.DataFrame":
    """A table of the actions: sequences in each split, frames, shortest and longest sequence."""
    import pandas as pd

    parts = []
    for split, table in preparation.tables.items():
        sequences, frames = np.unique(table.sequence, return_counts=True)
        names = penn_action.actions(preparation.folder, sequences.tolist())
        parts.append(pd.DataFrame({"action": names, "split": split, "frames": frames}))
    clips = pd.concat(parts)
    counts = clips.pivot_table(
        index="action", columns="split", values="frames", aggfunc="size", fill_value=0
    )[list(preparation.tables)]
    lengths = clips.groupby("action")["frames"].agg(["sum", "min", "max"])
    lengths.columns = ["frames", "shortest", "longest"]
    return counts.add_suffix(" sequences").join(lengths).rename_axis(columns=None)


def write(preparation: Preparation) -> "pd.DataFrame":
    """Build the stores that are not there yet; a table of what was done.

    Raises:
        PosekitError: a frame is damaged, or the folder cannot be written.
    """
    import pandas as pd

    rows = []
    for split, table in preparation.tables.items():
        path = preparation.store(split).path
        kept = path.exists() and not preparation.settings.overwrite
        started = time.perf_counter()
        built = build(
            table, path, progress_lines("frames", path.name), preparation.settings.overwrite
        )
        seconds = time.perf_counter() - started
        preparation.stores[split] = built
        rows.append(
            {
                "store": path.name,
                "status": "kept" if kept else "written",
                "frames": built["frames"],
                "MB": round(built["bytes"] / 1e6, 1),
                "seconds": round(seconds, 1),
            }
        )
    return pd.DataFrame(rows)


def contents(preparation: Preparation) -> str:
    """What the stores hold, and whether frames spread over them equal their files.

    Raises:
        PosekitError: a stored frame differs from its file.
    """
    lines, files = [], _files(preparation)
    for split, store_info in preparation.stores.items():
        lines.append(
            f"{STORES[split]}: {store_info['frames']:,} frames of {store_info['sequences']:,} "
            f"sequences, keys {', '.join(store_info['first'])} ..."
        )
        if files is None:
            continue
        names, store = _names(preparation.tables[split], 200), preparation.store(split)
        for name in names:
            if store.encoded(name) != files.encoded(name):
                raise PosekitError(
                    f"{store.path}: {name} differs from its file: set overwrite to build the "
                    "store again"
                )
        lines.append(f"  {len(names)} of them read back: byte for byte the files")
    return "\n".join(lines)


def _files(preparation: Preparation) -> Folder | None:
    folder = preparation.folder / "frames"
    return Folder(folder) if folder.is_dir() else None


def _names(table: Annotations, count: int) -> list[str]:
    """Names of some frames, evenly spread over a table."""
    return table.image[spread_rows(len(table), count)].tolist()


def contact_sheet(preparation: Preparation, columns: int = 6) -> Any:
    """Frames read from the stores with their annotated joints, one row a split."""
    from IPython.display import Image

    chosen = [(t, row) for t in preparation.tables.values() for row in spread_rows(len(t), columns)]
    figure = figures.skeleton_grid(
        [preparation.store(table.split).read(str(table.image[row])) for table, row in chosen],
        [table.keypoints[row] for table, row in chosen],
        [table.visible[row] for table, row in chosen],
        chosen[0][0].skeleton,
        f"Read from the stores: {preparation.label}",
        columns,
        [f"{table.split} {table.image[row]}" for table, row in chosen],
    )
    return Image(data=png(figure), alt="Frames of the stores with their annotated joints.")


def timing(preparation: Preparation, count: int = 2000) -> str:
    """How long frames take in random order, from the store and from their files.

    Both are read once before, so that neither waits for a disk.
    """
    split, table = next(iter(preparation.tables.items()))
    files = _files(preparation)
    if files is None:
        return "frames/ is not here: there is nothing to compare the stores with"
    names = np.random.default_rng(0).permutation(_names(table, count)).tolist()
    sources = {"store": preparation.store(split), "files": files}
    lines = [f"{len(names)} frames in random order, all in memory"]
    for method, title in (("encoded", "bytes only"), ("read", "with decoding")):
        seconds = {
            name: min(_seconds(getattr(source, method), names) for _ in range(2))
            for name, source in sources.items()
        }
        rates = ", ".join(f"{name} {len(names) / s:,.0f}/s" for name, s in seconds.items())
        ratio = seconds["files"] / seconds["store"]
        lines.append(f"{title:13}  {rates}: the store is {ratio:.1f} times as fast")
    return "\n".join(lines)


def _seconds(read: Callable[[str], Any], names: list[str]) -> float:
    started = time.perf_counter()
    for name in names:
        read(name)
    return time.perf_counter() - started
