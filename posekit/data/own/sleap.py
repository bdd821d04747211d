"""SLEAP's files, .slp: HDF5 with structured tables of frames, instances and points.

Read and written in the form that sleap-io documents; pixel centres are at integers from format 1.1.
"""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...errors import PosekitError
from ...files.reading import reading
from ...files.writing import replacing
from ...geometry.skeletons import Skeleton
from .labels import Labels, check_joints

_POINT = [("x", "f8"), ("y", "f8"), ("visible", "?"), ("complete", "?")]
_INSTANCE = [
    ("instance_id", "i8"), ("instance_type", "u1"), ("frame_id", "u8"), ("skeleton", "u4"),
    ("track", "i4"), ("from_predicted", "i8"), ("score", "f4"), ("point_id_start", "u8"),
    ("point_id_end", "u8"), ("tracking_score", "f4"),
]  # fmt: skip
_FRAME = [("frame_id", "u8"), ("video", "u4"), ("frame_idx", "u8")]
_FRAME += [("instance_id_start", "u8"), ("instance_id_end", "u8")]
_USER, _PREDICTED = 0, 1  # kinds of instances
_EDGE, _SYMMETRY = 1, 2  # kinds of links


def _open(path: Path, mode: str = "r") -> Any:
    try:
        import h5py
    except ImportError as error:
        raise PosekitError(
            f"{path}: SLEAP's files need the package h5py: pip install h5py"
        ) from error
    return h5py.File(path, mode)


def read(path: Path) -> Labels:
    """The labels of a file; predicted instances, and those of further skeletons, are left out.

    Raises:
        PosekitError: the file is damaged, h5py is not installed, or nobody has labelled anything.
    """
    with reading(path, "a file of SLEAP"), _open(path) as file:
        metadata = file["metadata"].attrs
        about, level = json.loads(metadata["json"]), metadata["format_id"]
        frames, instances, points = (file[name][:] for name in ("frames", "instances", "points"))
        videos = [json.loads(text) for text in file["videos_json"][:]]
        joints, limbs, mirror = _skeleton(path, about)
        ours = (instances["instance_type"] == _USER) & (instances["skeleton"] == 0)
        left = f"{(~ours).sum()} predicted instances, or of a further skeleton, are left out"
        notes = (left,) * bool((~ours).any())
        instances = instances[ours]
        if not len(instances):
            raise PosekitError(f"{path}: nobody has labelled a frame: label some in SLEAP first")
        rows = instances["point_id_start"].astype(int)[:, None] + np.arange(len(joints))
        keypoints = np.stack([points["x"][rows], points["y"][rows]], -1)
        keypoints = keypoints - (0.5 if level < 1.1 else 0)
        keypoints[~points["visible"][rows].astype(bool)] = np.nan
        order = np.argsort(frames["frame_id"])
        place = np.searchsorted(frames["frame_id"], instances["frame_id"], sorter=order)
        shown = frames[["video", "frame_idx"]][order][place].tolist()
        image = [_image(videos[video], video, index) for video, index in shown]
    more = {"limbs": limbs, "mirror": mirror or None, "notes": notes}
    return Labels.of_points(joints, np.array(image, str), keypoints, **more)


def _skeleton(path: Path, about: dict) -> tuple:
    """Joints, limbs and mirror pairs of the first skeleton."""
    graph, names = about["skeletons"][0], [str(node["name"]) for node in about["nodes"]]
    graph = graph.get("nx_graph", graph)
    joints = check_joints(path, [names[int(node["id"])] for node in graph["nodes"]])
    kinds, pairs = {}, {_EDGE: [], _SYMMETRY: []}
    for link in graph["links"]:  # the first of a kind defines it, later ones name its number
        kind = link["type"]
        if "py/reduce" in kind:
            kinds[len(kinds) + 1] = number = kind["py/reduce"][1]["py/tuple"][0]
        else:
            number = kinds.get(kind["py/id"], kind["py/id"])
        pairs[number].append((names[link["source"]], names[link["target"]]))
    mirror = {tuple(sorted(pair)): pair for pair in pairs[_SYMMETRY]}  # some are there both ways
    return joints, tuple(pairs[_EDGE]), tuple(mirror.values())


def _image(video: dict, number: int, index: int) -> str:
    """The file of a frame: of a list of images its own, else where `extract` puts it."""
    backend = video.get("backend", video)
    files = backend.get("filenames", backend.get("filename", video.get("filename")))
    return str(files[index]) if isinstance(files, list) else f"video{number}/{index:06d}.png"


def extract(path: Path, folder: Path) -> int:
    """Write the labelled frames of videos, and of images inside the file, below a folder.

    Returns:
        How many were written; those that are there stay.

    Raises:
        PosekitError: a video is not where the file says, nor beside the file.
    """
    written = 0
    with reading(path, "a file of SLEAP"), _open(path) as file:
        videos = [json.loads(text).get("backend") for text in file["videos_json"][:]]
        for number, index in file["frames"][:][["video", "frame_idx"]].tolist():
            backend, target = videos[number], folder / f"video{number}" / f"{index:06d}.png"
            if "filenames" in backend or isinstance(backend["filename"], list) or target.exists():
                continue
            if backend["filename"] == ".":
                place = file[backend["dataset"]]
                numbers = place.parent["frame_numbers"][:].tolist()
                image = cv2.imdecode(np.frombuffer(bytes(place[numbers.index(index)]), np.uint8), 1)
            else:
                image = _frame(path, Path(backend["filename"]), index)
            target.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(target), image)
            written += 1
    return written


def _frame(path: Path, video: Path, index: int) -> np.ndarray:
    """A frame (h, w, 3) BGR of a video."""
    places = (video, path.parent / video, path.parent / video.name)
    film = cv2.VideoCapture(str(next((place for place in places if place.exists()), video)))
    film.set(cv2.CAP_PROP_POS_FRAMES, index)
    done, image = film.read()
    if not done:
        raise PosekitError(
            f"{path}: frame {index} of {video} cannot be read: put the video beside it"
        )
    return image


def write(
    path: Path,
    skeleton: Skeleton,
    image: np.ndarray,
    keypoints: np.ndarray,
    scores: np.ndarray | None = None,
) -> None:
    """Write a file for SLEAP: labelled instances, or predicted ones where there are scores.

    Args:
        path: of the .slp.
        skeleton: of K joints.
        image: (N,) files of the images.
        keypoints: (N, K, 2), NaN where not annotated.
        scores: (N, K).
    """
    files, frame = np.unique(image, return_inverse=True)
    order = np.argsort(frame, kind="stable")
    frame, keypoints, (count, joints) = frame[order], keypoints[order], keypoints.shape[:2]
    points = np.zeros(count * joints, _POINT + [("score", "f8")] * (scores is not None))
    points["x"], points["y"] = keypoints.reshape(-1, 2).T
    points["visible"] = points["complete"] = np.isfinite(points["x"])
    instances, frames = np.zeros(count, _INSTANCE), np.zeros(len(files), _FRAME)
    instances["instance_id"], instances["frame_id"] = np.arange(count), frame
    instances["instance_type"] = _USER if scores is None else _PREDICTED
    instances["track"] = instances["from_predicted"] = -1
    instances["point_id_start"] = np.arange(count) * joints
    instances["point_id_end"] = (np.arange(count) + 1) * joints
    if scores is not None:
        points["score"], instances["score"] = scores[order].ravel(), scores[order].mean(1)
    frames["frame_id"] = frames["frame_idx"] = np.arange(len(files))
    frames["instance_id_start"] = np.searchsorted(frame, np.arange(len(files)))
    frames["instance_id_end"] = np.searchsorted(frame, np.arange(len(files)), side="right")
    with replacing(path) as partial, _open(partial, "w") as file:
        about = file.create_group("metadata").attrs
        about["format_id"], about["json"] = 1.2, np.bytes_(json.dumps(_about(skeleton)))
        backend = {"type": "ImageVideo", "filename": files[0], "filenames": files.tolist()}
        video = json.dumps({"filename": files[0], "backend": backend})
        empty = np.zeros(0, _POINT + [("score", "f8")] * (scores is None))
        tables = {"points": points, "pred_points": empty}
        tables = tables if scores is None else {"points": empty, "pred_points": points}
        tables |= {"instances": instances, "frames": frames, "videos_json": [np.bytes_(video)]}
        for name, table in (tables | {"tracks_json": np.zeros(0, "S1")}).items():
            file.create_dataset(name, data=table)


def _about(skeleton: Skeleton) -> dict[str, Any]:
    """What the metadata hold of a skeleton."""
    graph = {"name": skeleton.name, "num_edges_inserted": len(skeleton.limbs)}
    symmetries = [(i, int(j)) for i, j in enumerate(skeleton.flip) if i < j]
    links = []
    for kind, pairs in ((_EDGE, skeleton.limb_indices), (_SYMMETRY, symmetries)):
        enum = [{"py/type": "sleap.skeleton.EdgeType"}, {"py/tuple": [kind]}]
        for number, (a, b) in enumerate(pairs):
            link = {"key": 0, "source": a, "target": b, "type": {"py/reduce": enum}}
            links.append(link | ({"edge_insert_idx": number} if kind == _EDGE else {}))
    nodes = [{"name": joint, "weight": 1.0} for joint in skeleton.joints]
    ids = [{"id": number} for number in range(len(nodes))]
    one = {"directed": True, "graph": graph, "links": links, "multigraph": True, "nodes": ids}
    more = {"videos": [], "tracks": [], "suggestions": [], "negative_anchors": {}, "provenance": {}}
    return {"version": "2.0.0", "skeletons": [one], "nodes": nodes, **more}
