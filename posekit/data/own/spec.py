"""A file of labels as a data set: its skeleton, its parts for training and testing, its scores."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from ...errors import PosekitError
from ...files.paths import existing_path, project_root
from ...files.words import few, mistakes
from ...geometry.skeletons import Skeleton, kind_and_side, mirror_pairs, skeleton
from ...metrics.keypoint_ap import Detections, Truth, match, summarise
from ...metrics.score import Protocol, Score
from ..annotations import Annotations
from ..dataset import DataSet, Sample
from ..predictions import Predictions
from ..scoring import PckScorer
from . import coco_file, deeplabcut, sleap
from .labels import Labels, mended

ENDINGS = (".json", ".csv", ".slp")
SIGMA = 0.07  # of OKS where the file has none: about the mean of COCO's 17
_TEST, _FEWEST, _COLUMNS = 0.2, 5, 14  # share of the test part; videos to split by; score columns


class Definition(BaseModel):
    """Everything that makes a data set of a file; its text is the address of the data set.

    Attributes:
        name: of the data set.
        annotations: the file of labels, absolute, or below the folder of the images.
        images: the folder of the images, absolute, or of a sample below the data root.
        category: of COCO's form.
        skeleton: its address.
        by: what the test part never shares with training: image, video, or auto.
        sample: the files are generated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    annotations: str
    images: str
    category: str | None = None
    skeleton: str
    by: str = "auto"
    sample: bool = False

    @property
    def address(self) -> str:
        """The definition as text, from which any process makes the data set."""
        return self.model_dump_json().replace("+", "\\u002b")  # + stands between data sets

    def labels(self, folder: Path) -> Labels:
        """The labels, mended, of the images in their folder."""
        path = folder / self.annotations
        return _labels(path, folder, self.category, path.stat().st_mtime if path.exists() else 0)


@lru_cache(maxsize=8)
def _labels(path: Path, folder: Path, category: str | None, time: float) -> Labels:
    return mended(_read(path, category), folder)


def _read(path: Path, category: str | None) -> Labels:
    if not path.exists():
        raise PosekitError(f"annotations={str(path)!r}: there is no such file")
    if path.suffix.lower() == ".json":
        return coco_file.read(path, category)
    return (sleap if path.suffix.lower() == ".slp" else deeplabcut).read(path)


def define(
    annotations: str,
    images: str | None = None,
    category: str | None = None,
    mirror: str | None = None,
    links: str | None = None,
    sigmas: tuple[float, ...] = (),
    by: str = "auto",
) -> Definition:
    """Look into a file of labels and say what data set it makes.

    Args:
        annotations: COCO's form (.json), DeepLabCut's or lightning-pose's (.csv, or a folder of
            them), SLEAP's (.slp).
        images: their folder; by default that of the file, and for videos of SLEAP one in
            data/.cache that is filled with the labelled frames.
        category: of COCO's form, where several have keypoints.
        mirror: pairs of a left and a right joint, `a b, c d`; by default those of the file, or
            those that the names tell.
        links: pairs of joints to draw, likewise.
        sigmas: of OKS, one for every joint or one for all.
        by: image, video, or auto.

    Raises:
        PosekitError: the file cannot be used; or a pair names a joint that it has not.
    """
    path = existing_path(annotations)
    found = _read(path, category)
    if sigmas and len(sigmas) not in (1, len(found.joints)):
        raise PosekitError(f"sigmas: {len(sigmas)} numbers for {len(found.joints)} joints")
    folder = existing_path(images) if images else path.parent
    if path.suffix.lower() == ".slp" and not images:
        digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
        cache = project_root() / "data" / ".cache" / f"sleap-{digest}"
        folder = cache if sleap.extract(path, cache) or cache.exists() else folder
    if not folder.is_dir():
        raise PosekitError(f"images={images!r}: there is no such folder")
    name = re.sub(r"[^A-Za-z0-9-]+", "_", category or path.stem).strip("_-")
    name = name if re.match("[A-Za-z]", name) else f"own_{name}"
    pairs = _pairs("mirror", mirror, found.joints, found.mirror or mirror_pairs(found.joints))
    limbs = _pairs("links", links, found.joints, found.limbs)
    sigmas = tuple(sigmas) * (len(found.joints) if len(sigmas) == 1 else 1) or found.sigmas
    joints = make_skeleton(name, found.joints, limbs, pairs, sigmas)
    places = {"annotations": str(path.resolve()), "images": str(folder.resolve())}
    return Definition(name=name, **places, category=category, skeleton=joints.address, by=by)


def make_skeleton(name: str, joints: tuple, limbs: tuple, mirror: tuple, sigmas: tuple) -> Skeleton:
    """A skeleton of these joints; equal ones have equal names.

    Its groups, the columns of a table of scores, are pairs and single joints, unless they are many.
    """
    groups = {kind_and_side(left)[0]: (left, right) for left, right in mirror}
    paired = {joint for pair in mirror for joint in pair}
    groups |= {joint: (joint,) for joint in joints if joint not in paired}
    groups = groups if len(groups) <= _COLUMNS else {}
    made = Skeleton(name, joints, limbs, groups, sigmas, mirror)
    digest = hashlib.sha256(json.dumps(asdict(made)).encode()).hexdigest()[:6]
    return replace(made, name=f"{name}-{digest}")


def animal(file: str = "animal.json") -> Definition:
    """The generated animal, by one of its files."""
    from ..sample.animal import JOINTS, LIMBS

    limbs, pairs = () if file.endswith(".csv") else LIMBS, mirror_pairs(JOINTS)
    address = make_skeleton("animal", JOINTS, limbs, pairs, ()).address
    places = {"annotations": file, "images": "animal"}
    return Definition(name="animal", **places, skeleton=address, sample=True)


def _pairs(what: str, text: str | None, joints: tuple, usual: tuple) -> tuple[tuple[str, str], ...]:
    """Pairs as a reader writes them, `a b, c d`; the word no for none."""
    if text is None:
        return usual
    pairs = [tuple(pair.split()) for pair in text.split(",") if pair.strip().lower() != "no"]
    strange = [" ".join(p) for p in pairs if len(p) != 2 or not set(p) <= set(joints)]
    if strange or (what == "mirror" and len({j for p in pairs for j in p}) < 2 * len(pairs)):
        raise PosekitError(
            f"{what}={text!r}: {few(strange) or 'a joint stands in two pairs'}: write pairs of "
            f"joints with commas between them, of {', '.join(joints)}"
        )
    return tuple(pairs)


@dataclass(frozen=True)
class OwnScorer(PckScorer):
    """PCK, and beside it AP by OKS; both of annotated boxes."""

    def score(self, people: Annotations, found: Predictions, root: Path | None = None) -> Score:
        """The PCK of all joints, with the AP in `extra`."""
        result, skeleton = super().score(people, found, root), people.skeleton
        size = people.boxes[:, 2:] - people.boxes[:, :2]
        truth = Truth(
            images=np.unique(people.image_id),
            image=people.image_id,
            keypoints=people.keypoints,
            visible=people.visible,
            boxes=np.concatenate([people.boxes[:, :2], size], 1),
            areas=size.prod(1),
            crowd=np.zeros(len(people), bool),
            counted=people.visible.any(1),
        )
        places, scores = np.nan_to_num(found.keypoints), np.nan_to_num(found.scores).mean(1)
        sigmas = skeleton.sigmas or (SIGMA,) * len(skeleton)
        matches = match(truth, Detections(people.image_id, places, scores), sigmas)
        numbers = summarise(matches)
        extra = {f"OKS-{name}": 100 * numbers[name] for name in ("AP", "AP50")}
        said = "those of the file" if skeleton.sigmas else f"{SIGMA} for every joint"
        sentence = f"{result.protocol}; OKS-AP in percent with annotated boxes, area of the box, "
        return replace(result, extra=extra, protocol=f"{sentence}sigmas {said}")


class OwnDataSet(DataSet):
    """A data set of the reader's own, whose files lie anywhere."""

    def find(self, root: Path) -> Path | None:
        """The folder of its images, which may lie outside the data root; None where it is not."""
        folder = Path(root, self.folder)
        return folder if folder.is_dir() else None

    def label_files(self, folder: Path) -> list[Path]:
        """The file, or the tables in a folder."""
        path = folder / self.download
        return sorted(path.rglob("*.csv")) if path.is_dir() else [path]

    def remedy(self, folder: Path) -> str:
        """What to put where."""
        return (
            f"Put the images of {Path(self.download).name} into {folder}, name their folder as "
            "images, or set source to real to go on without those that are missing."
        )


def own_dataset(name: str) -> DataSet:
    """The data set of a file of labels, or of a definition's text.

    Raises:
        PosekitError: the file cannot be used, or the text is no definition.
    """
    try:
        made = Definition.model_validate_json(name) if name.startswith("{") else define(name)
    except ValidationError as error:
        raise PosekitError(f"this defines no data set: {mistakes(error)}") from None
    from ..sample.animal import write_animal  # the sample looks data sets up, by this function too

    joints = skeleton(made.skeleton)
    about = "PCK@0.2 of the longer side of the annotated box, annotated joints"
    return OwnDataSet(
        name=made.name,
        folder=made.images,
        page="",
        download=made.annotations,
        skeleton=joints,
        read=partial(_columns, made),
        scorer=OwnScorer(Protocol(made.name, "PCK@0.2 box", joints, 0.2, about)),
        unit="instances",
        sample=Sample(write_animal, (500, 120), (10, 5)) if made.sample else None,
    )


def _columns(made: Definition, folder: Path, split: str) -> dict[str, Any]:
    """The columns of one part of the labels."""
    labels = made.labels(folder)
    group, how = _groups(labels.image, made.by)
    names = np.unique(group)
    chosen = np.random.default_rng(0).permutation(names)[: round(_TEST * len(names))]
    image_id = np.unique(labels.image, return_inverse=True)[1] + 1
    rows = np.isin(group, chosen) == (split == "test")
    part = labels.rows(rows, f"test part: {len(chosen)} of {len(names)} {how}, the same every time")
    return {
        "keypoints": part.keypoints,
        "visible": part.flag > 0,
        "occluded": part.flag == 1,
        "boxes": part.boxes,
        "reference": (part.boxes[:, 2:] - part.boxes[:, :2]).max(1),
        "image": part.image,
        "image_id": image_id[rows].astype(np.int64),
        "annotation_id": part.annotation_id,
        "group": group[rows],
        "notes": part.notes,
    }


def _groups(image: np.ndarray, by: str) -> tuple[np.ndarray, str]:
    """What a split must not divide (N,), and its name in words.

    A video is a folder of frames, or the images of a folder whose names differ in the last number.
    """
    stems = [re.sub(r"[_\-. ]*\d*$", "", name.rpartition(".")[0]) for name in image.tolist()]
    video, count = np.array(stems, str), len(np.unique(image))
    if by == "video" or (by == "auto" and _FEWEST <= len(set(stems)) <= count / 2):
        return video, "videos (folders, or images whose names differ in the last number)"
    return image, "images (where they are frames of videos, set by=video)"
