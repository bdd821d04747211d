"""Opening a file of annotations as large as that of train2017: time, memory, growth of workers."""

import copy
import gc
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from posekit.data.coco.reader import read

from . import peers
from .harness import Pair, growth, row
from .people import labels

IMAGES, PEOPLE = 118_287, 262_465
DATA = f"generated labels of {IMAGES:,} images and {PEOPLE:,} people"
Columns = dict[str, Any]


@row("annotations_first", goal=2.5, against="HRNet: COCO(), then a list of dicts", rounds=3)
def annotations_first() -> Pair:
    file = _file(IMAGES, PEOPLE)

    def ours() -> Columns:
        os.utime(file)  # another time, and the cache is of another file
        return read(file.parents[1], "train")

    return Pair(lambda: peers.open_annotations(file), ours, _same, DATA)


@row("annotations_cached", goal=100, against="HRNet: COCO(), then a list of dicts", rounds=3)
def annotations_cached() -> Pair:
    file = _file(IMAGES, PEOPLE)
    read(file.parents[1], "train")
    ours = lambda: read(file.parents[1], "train")  # noqa: E731
    return Pair(lambda: peers.open_annotations(file), ours, _same, DATA)


@row("annotations_resident", goal=20, against="HRNet: COCO(), then a list of dicts", rounds=3)
def annotations_resident() -> Pair:
    file = _file(IMAGES, PEOPLE)
    read(file.parents[1], "train")

    def grown(way: Callable[[], Any]) -> float:
        def child() -> float:
            before = _memory("Rss")
            kept = way()
            gc.collect()
            return _memory("Rss") - before + 0 * len(kept)

        return _in_fork(child)

    return Pair(
        lambda: grown(lambda: peers.open_annotations(file)),
        lambda: grown(lambda: read(file.parents[1], "train")),
        lambda theirs, ours: (
            f"{theirs:.0f} and {ours:.0f} MB; the same people in annotations_first"
        ),
        f"{DATA}, opened again",
        cost="value",
        unit="MB",
    )


@row("worker_growth", goal=10, against="a worker that copies each of HRNet's dicts once", rounds=3)
def worker_growth() -> Pair:
    """Memory that becomes a forked worker's own while it reads every person once."""
    file = _file(IMAGES, PEOPLE)
    records, columns = peers.open_annotations(file), read(file.parents[1], "train")

    def theirs() -> None:
        for one in records[1]:
            copy.deepcopy(one)

    def ours() -> None:
        rows = [column for name, column in columns.items() if name != "notes"]
        for n in range(len(columns["boxes"])):
            for column in rows:
                column[n].copy()

    def grown(way: Callable[[], None]) -> float:
        def child() -> float:
            before = _memory("Private_Dirty")
            way()
            return _memory("Private_Dirty") - before

        return max(_in_fork(child), 0.1)

    def equal(theirs: float, ours: float) -> str:
        assert ours < 10, f"a worker grows by {ours:.0f} MB an epoch, more than 10"
        return f"{theirs:.0f} and {ours:.1f} MB an epoch, under 10"

    ways = (lambda: grown(theirs)), (lambda: grown(ours))
    return Pair(*ways, equal, DATA, cost="value", unit="MB")


@growth("opening annotations for the first time")
def first(count: int) -> Callable[[], Any]:
    file = _file(max(1, count // 2), count)

    def work() -> None:
        os.utime(file)
        read(file.parents[1], "train")

    return work


@growth("opening annotations out of the cache")
def again(count: int) -> Callable[[], Any]:
    file = _file(max(1, count // 2), count)
    read(file.parents[1], "train")
    return lambda: read(file.parents[1], "train")


def _file(images: int, people: int) -> Path:
    """A file of labels that is made once for all rows."""
    folder = Path(tempfile.gettempdir(), f"posekit-benchmark-{os.getuid()}", f"{images}-{people}")
    file = folder / "coco" / "annotations" / "person_keypoints_train2017.json"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        _in_fork(lambda: _write(file, images, people))  # whose memory goes with it
    return file


def _write(file: Path, images: int, people: int) -> float:
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(labels(images, people)))
    partial.rename(file)
    return 0


def _same(opened: tuple[Any, list[dict]], columns: Columns) -> str:
    joints = np.array([one["joints_3d"] for one in opened[1]])[..., :2]
    visible = np.array([one["joints_3d_vis"] for one in opened[1]])[..., 0] > 0
    assert len(joints) == len(columns["boxes"]), f"{len(joints)} and {len(columns['boxes'])} people"
    assert (visible == columns["visible"]).all() and (joints[visible] >= 0).all(), "visibilities"
    worst = np.abs(joints - columns["keypoints"])[visible].max()
    assert worst <= 1e-4, f"joints by {worst} px"
    return f"the same {len(joints):,} people, joints within {worst:.0e} px"


def _memory(kind: str) -> float:
    """MB of this process: Rss, or the Private_Dirty that it shares with nobody."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:")) / 1024


def _in_fork(work: Callable[[], float]) -> float:
    """The number that `work` returns in a forked process."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, repr(work()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return float(text)
