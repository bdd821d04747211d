"""The tables of DeepLabCut and lightning-pose, with scorer, bodyparts and coords on top.

CSV is read; HDF5 is written alone, because pandas unpickles what it reads from it.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from ...errors import PosekitError
from ...files.reading import reading
from ...files.words import few
from ...files.writing import replacing, write_text
from ...files.yaml_files import load_yaml
from ...geometry.skeletons import Skeleton
from .labels import Labels, check_joints

_HDF5 = (".h5", ".hdf5")


def read(path: Path) -> Labels:
    """The labels of a table, of one animal or of several in an image.

    A folder stands for all its CollectedData*.csv. Coordinates are of 0-based pixels. The links
    are those of the project's config.yaml, where the table lies in a project.

    Raises:
        PosekitError: there is no such table, or a joint of it occurs twice.
    """
    if path.suffix.lower() in _HDF5:
        raise PosekitError(f"{path}: HDF5 may hold code: name the CSV that DeepLabCut wrote beside")
    files = sorted(path.rglob("CollectedData*.csv")) if path.is_dir() else [path]
    if not files:
        raise PosekitError(f"{path}: no CollectedData*.csv in it: name the CSV of the labels")
    tables = [_read(file) for file in files]
    if strange := [file for file, one in zip(files, tables, strict=True) if one[0] != tables[0][0]]:
        raise PosekitError(f"{strange[0]} has other joints than {files[0]}: name one of them")
    image, keypoints = (np.concatenate(part) for part in list(zip(*tables, strict=True))[1:])
    joints = tables[0][0]
    return Labels.of_points(joints, image, keypoints, **_project(path, joints))


def _project(path: Path, joints: tuple[str, ...]) -> dict[str, tuple]:
    """The limbs that the config.yaml of a table's project names, and notes; nothing without one."""
    projects = [f for f in (path, *path.parents[:3]) if (f / "labeled-data").is_dir()]
    configs = [f / "config.yaml" for f in projects if (f / "config.yaml").is_file()]
    if not configs:
        return {}
    content = load_yaml(configs[0])
    several = content.get("bodyparts") == "MULTI!"  # animals in an image
    with reading(configs[0], "a config.yaml of DeepLabCut", "mend bodyparts and skeleton"):
        parts = content.get("multianimalbodyparts" if several else "bodyparts") or []
        links = [(str(a), str(b)) for a, b in content.get("skeleton") or []]
        lacking = sorted({*map(str, parts), *(part for link in links for part in link)} - {*joints})
    note = f"the labels lack joints of config.yaml, whose links are left out: {few(lacking)}"
    limbs = tuple(link for link in links if {*link} <= {*joints})
    return {"limbs": limbs, "notes": (note,) * bool(lacking)}


def _read(path: Path) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Joints, images (N,) and keypoints (N, K, 2), NaN where not annotated."""
    with reading(path, "a CSV of DeepLabCut or lightning-pose"):
        head = pd.read_csv(path, header=None, nrows=5, dtype=str).fillna("")
        depth = head[0].str.lower().tolist().index("coords")
        first = head.iloc[depth].tolist().index("x")  # before it stands the path of the image
        table = pd.read_csv(path, header=None, skiprows=depth + 1)
        image = table.iloc[:, :first].astype(str).agg("/".join, axis=1).str.replace("\\", "/")
        animals, names, axis = (head.iloc[row, first:].tolist() for row in (1, depth - 1, depth))
        animals = animals if depth == 3 else ["animal"] * len(names)
        table = table.iloc[:, first:].set_axis(
            pd.MultiIndex.from_arrays([animals, names, axis]), axis=1
        )
        if (twice := table.columns.duplicated()).any():
            twice = sorted({joint for _, joint, _ in table.columns[twice]})
            raise PosekitError(f"{path}: {few(twice)}: a joint name occurs twice: rename one")
        joints = check_joints(path, list(dict.fromkeys(names)))
        columns = pd.MultiIndex.from_product([joints, ["x", "y"]])
        found = [table[animal].reindex(columns=columns) for animal in dict.fromkeys(animals)]
        keypoints = np.concatenate(
            [one.to_numpy(float).reshape(-1, len(joints), 2) for one in found]
        )
    image = np.tile(image.to_numpy(str), len(found))
    there = np.isfinite(keypoints).any((1, 2)) | (len(found) == 1)  # not every image shows them all
    return joints, image[there], keypoints[there]


def write(
    path: Path,
    skeleton: Skeleton,
    image: np.ndarray,
    keypoints: np.ndarray,
    scores: np.ndarray | None = None,
    animal: np.ndarray | None = None,
) -> None:
    """Write a table as DeepLabCut does, with likelihoods where there are scores.

    Args:
        path: of the CSV, or of the HDF5 (.h5).
        skeleton: of K joints.
        image: (N,) names of images.
        keypoints: (N, K, 2), NaN where not annotated.
        scores: (N, K).
        animal: (N,) numbers of the animals in an image, where there can be several.

    Raises:
        PosekitError: PyTables, which HDF5 needs, is not installed.
    """
    axes = ("x", "y") if scores is None else ("x", "y", "likelihood")
    values = keypoints if scores is None else np.concatenate([keypoints, scores[..., None]], -1)
    names = pd.MultiIndex.from_product([skeleton.joints, axes], names=["bodyparts", "coords"])
    table = pd.DataFrame(values.reshape(len(values), -1), index=image, columns=names)
    if animal is not None:
        parts = {f"animal{n + 1}": table[animal == n] for n in np.unique(animal).tolist()}
        table = pd.concat(parts, axis=1, names=["individuals"]).reindex(np.unique(image))
    table = pd.concat({"posekit": table}, axis=1, names=["scorer"])
    if path.suffix.lower() not in _HDF5:
        write_text(path, table.to_csv())
        return
    if not find_spec("tables"):
        raise PosekitError(f"{path}: HDF5 needs the package tables: pip install tables")
    with replacing(path) as partial:
        table.to_hdf(partial, key="df_with_missing", format="table", mode="w")
