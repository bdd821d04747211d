"""The released Caffe networks of CPM and LPM as weights of `cpm` and `lpm`.

The two differ from ours in three ways: images are BGR, joints come in another order, and the
stages that share their weights store each copy again.
"""

import re
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import PosekitError
from ..files.words import few, short
from ..geometry.skeletons import POSE_MACHINE
from .caffemodel import read_caffemodel
from .storage import Checkpoint

# Order of the channels that the released networks return.
CAFFE_JOINTS = (
    "head_top neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist "
    "right_hip right_knee right_ankle left_hip left_knee left_ankle"
).split()
# Their channel for each one of ours; the background stays the last.
ORDER = [*(CAFFE_JOINTS.index(joint) for joint in POSE_MACHINE.joints), len(CAFFE_JOINTS)]
GATES = "iogf"  # blocks of channels in LPM's gates, see posekit.models.lpm
# Layers of the released networks -> parameters of ours; {} stands for weight or bias, and what
# belongs to one gate ends in its letter.
_PARAMETERS = {
    "cpm": {
        r"M?conv(\d)_stage1": r"stage1.conv\1.{}",
        r"conv([1-35-7])_stage2": r"trunk.conv\1.{}",
        r"conv\d_stage([2-6])": r"stage\1.features.{}",
        r"M(?:conv|res)(\d)_stage([2-6])": r"stage\2.head.conv\1.{}",
    },
    "lpm": {
        r"M?conv(\d)_stage1": r"stage1.conv\1.{}",
        r"conv(\d)_stage[2-6]": r"features.conv\1.{}",
        r"M(?:conv|res)(\d)_stage[2-6]": r"head.conv\1.{}",
        r"([iogf])_([xh])_stage[2-6]": r"gates_\2.{}.\1",
        r"([iogf])_stage[2-6]": r"gate_bias.\1",
    },
}
# Layers that only one of the networks has.
_SIGNS = {"lpm": r"[iogf](_[xh])?_stage[2-6]", "cpm": r"Mconv[1-5]_stage[3-6]"}


class Blob(NamedTuple):
    """Numbers of a file, for BGR images and Caffe's joints.

    Attributes:
        origin: file, layer and number, for messages.
        values: float32; files of the first Caffe write all shapes with four sizes, ones in front.
    """

    origin: str
    values: np.ndarray


def convert(model: nn.Module, paths: Sequence[Path]) -> Checkpoint:
    """Weights for `cpm` or `lpm` from a `.caffemodel`, or from several that add up to the network.

    Args:
        model: the network that they are for; it is not changed.
        paths: the files. LPM's deploy networks are two: the first frame's, without a memory, and
            the one for the frames after it.

    Raises:
        PosekitError: the files hold another network, do not agree, or leave a part of it unfilled.
    """
    source = " and ".join(map(str, paths))
    family = model.description.name if hasattr(model, "description") else type(model).__name__
    if family not in _PARAMETERS or model.description.num_keypoints != len(CAFFE_JOINTS):
        raise PosekitError(
            f"{source}: a caffemodel holds the 14 joints of CPM or LPM: load it into "
            "create_model('cpm') or create_model('lpm')"
        )
    blobs, copies, ignored = read_blobs(family, paths)
    state = in_our_order(assemble(model, blobs, source))
    steps = (f"{copies} shared copies equal", "BGR to RGB", "joints in posekit's order")
    return Checkpoint(state, tuple(ignored), steps, {"model": family})


def read_blobs(family: str, paths: Sequence[Path]) -> tuple[dict[str, Blob], int, list[str]]:
    """Blobs of the files by our names.

    Returns:
        The blobs, how many shared copies were found equal, and the layers that are not ours.

    Raises:
        PosekitError: the files are of another network, or shared copies differ.
    """
    blobs, copies, ignored = {}, 0, []
    for path in paths:
        layers = read_caffemodel(path)
        if (found := family_of(path, layers)) != family:
            raise PosekitError(f"{path}: holds {found}, not {family}: create_model({found!r})")
        for layer, arrays in layers.items():
            pattern = next((p for p in _PARAMETERS[family] if re.fullmatch(p, layer)), None)
            if pattern is None:
                ignored += [short(layer)] * bool(arrays)
                continue
            parameter = re.sub(pattern, _PARAMETERS[family][pattern], layer)
            for number, values in enumerate(arrays):
                origin = f"{path}: layer {layer}, blob {number}"
                if number > 1:
                    raise PosekitError(
                        f"{origin}: no layer of CPM or LPM has a third one; get the released file"
                    )
                if number == 0 and parameter.startswith("gate_bias"):
                    if (values != 1).any():
                        raise PosekitError(
                            f"{origin}: LPM's Scale layers only add; this one multiplies as well"
                        )
                    continue
                name = parameter.format(("weight", "bias")[number])
                known = blobs.setdefault(name, Blob(origin, values))
                if not np.array_equal(known.values.squeeze(), values.squeeze(), equal_nan=True):
                    raise PosekitError(
                        f"{origin} differs from {known.origin.rpartition(': ')[2]}, which shares "
                        "its weights: the file is damaged or of another network"
                    )
                copies += known.origin != origin
    return blobs, copies, ignored


def assemble(model: nn.Module, blobs: Mapping[str, Blob], source: str) -> dict[str, Tensor]:
    """The network's parameters, put together from all that the files hold.

    Raises:
        PosekitError: a blob is of the wrong shape, or the blobs are not all and only the network's.
    """
    state, lacking, left = {}, [], dict(blobs)
    for name, value in model.state_dict().items():
        names = [f"{name}.{gate}" for gate in GATES] if name.startswith("gate") else [name]
        shape = tuple(value.chunk(len(names))[0].shape)
        lacking += [part for part in names if part not in left]
        parts = [left.pop(part) for part in names if part in left]
        for origin, values in parts:
            if values.shape[-len(shape) :] != shape or values.size != prod(shape):
                raise PosekitError(
                    f"{origin} is {list(values.shape)}, {name} needs {list(shape)}: compare width "
                    "and num_keypoints"
                )
        blocks = [torch.from_numpy(values.reshape(shape)) for _, values in parts]
        state[name] = torch.cat(blocks) if blocks else value
    if left:
        raise PosekitError(f"{source}: the network has no {few(list(left))}: get the released file")
    if lacking:
        raise PosekitError(
            f"{source}: {len(lacking)} parts of {model.description.name} are not in it "
            f"({', '.join(lacking[:12])}{', ...' if len(lacking) > 12 else ''}). Of LPM's deploy "
            "networks the first frame's has no memory (h and f gates), the later frames' no first "
            "stage: give both files as a list"
        )
    return state


def family_of(path: Path, layers: dict[str, list[np.ndarray]]) -> str:
    """The network, cpm or lpm, that the layers of a file belong to.

    Raises:
        PosekitError: they belong to neither.
    """
    names = [name for name, blobs in layers.items() if blobs]
    for family, sign in _SIGNS.items():
        if any(re.fullmatch(sign, name) for name in names):
            return family
    raise PosekitError(
        f"{path}: is neither CPM nor LPM, its layers are {few(names)}; get the released file"
    )


def in_our_order(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights for RGB images and posekit's joints, from weights for BGR and Caffe's joints.

    Joints are permuted where they come out (stage 1, every head) and where the beliefs of the
    stage or frame before go in; one without the other would be another network.
    """
    turned = dict(state)
    for name, value in state.items():
        if name.endswith(".conv1.weight") and value.shape[1] == 3:
            turned[name] = value.flip(1)
        elif re.search(r"(stage1\.conv7|head\.conv5)\.(weight|bias)$", name):
            turned[name] = value[ORDER]
        elif name == "gates_x.weight" or re.fullmatch(r"stage[2-6]\.head\.conv1\.weight", name):
            # Image features, the beliefs of all joints and the background, the centre map.
            first = value.shape[1] - len(ORDER) - 1
            order = [*range(first), *(first + channel for channel in ORDER), first + len(ORDER)]
            turned[name] = value[:, order]
    return turned
