"""The released Caffe networks of CPM and LPM as weights of `cpm` and `lpm`.

The two differ from ours in three ways: images are BGR, joints come in another order, and the
stages that share their weights store each copy again.
"""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import PosekitError
from ..files.words import few, short
from ..geometry.skeletons import POSE_MACHINE
from .caffemodel import read_caffemodel
from .checkpoint import Checkpoint

# Order of the channels that the released networks return.
CAFFE_JOINTS = (
    "head_top neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist "
    "right_hip right_knee right_ankle left_hip left_knee left_ankle"
).split()
# Their channel for each one of ours; the background stays the last.
ORDER = [*(CAFFE_JOINTS.index(joint) for joint in POSE_MACHINE.joints), len(CAFFE_JOINTS)]
GATES = "iogf"  # blocks of channels in LPM's gates, see posekit.models.lpm
_LAYER = re.compile(r"(conv|Mconv|Mres)([1-7])_stage([1-6])|([iogf])(_[xh])?_stage([2-6])")
_KINDS = ("weight", "bias")
FAMILIES = ("cpm", "lpm")
# Parameters that hold a block of channels per gate: what a gate's block is called.
_BLOCKS = {
    "gates_x.weight": "{}_x",
    "gates_x.bias": "{}_x bias",
    "gates_h.weight": "{}_h",
    "gates_h.bias": "{}_h bias",
    "gate_bias": "{} bias",
}


class Place(NamedTuple):
    """Where a blob belongs: a parameter, and the gate whose block of channels it is."""

    name: str
    gate: int | None = None


class Read(NamedTuple):
    """What files hold, under our names, still for BGR images and Caffe's joints.

    Attributes:
        state: the weights; zero where the files have none.
        places: those that the files fill.
        copies: number of shared copies that were found equal.
        ignored: layers of the files that the network does not have.
    """

    state: dict[str, Tensor]
    places: frozenset[Place]
    copies: int
    ignored: tuple[str, ...]


def convert(model: nn.Module, paths: Sequence[Path]) -> Checkpoint:
    """Weights for `cpm` or `lpm` from a `.caffemodel`, or from several that add up to the network.

    Args:
        model: the network that they are for; it is not changed.
        paths: the files. LPM's deploy networks are two: the first frame's, without a memory, and
            the one for the frames after it.

    Raises:
        PosekitError: the files hold another network, do not agree, or leave a part of it unfilled.
    """
    where = " and ".join(map(str, paths))
    family = model.description.name if hasattr(model, "description") else type(model).__name__
    if family not in FAMILIES or model.description.num_keypoints != len(CAFFE_JOINTS):
        raise PosekitError(
            f"{where}: a caffemodel holds the 14 joints of CPM or LPM: load it into "
            "create_model('cpm') or create_model('lpm')"
        )
    read = caffe_state(model, paths)
    _check_whole(model, read.places, where)
    steps = (f"{read.copies} shared copies equal", "BGR to RGB", "joints in posekit's order")
    return Checkpoint(in_our_order(read.state), read.ignored, steps, family)


def caffe_state(model: nn.Module, paths: Sequence[Path]) -> Read:
    """Blobs of the files, each in its place.

    Raises:
        PosekitError: a blob is of the wrong shape, or shared copies differ.
    """
    family = model.description.name
    own = {name: value.shape for name, value in model.state_dict().items()}
    state = {name: torch.zeros(shape) for name, shape in own.items()}
    filled: dict[Place, str] = {}
    copies, ignored = 0, []
    for path in paths:
        layers = read_caffemodel(path)
        if (found := family_of(path, layers)) != family:
            raise PosekitError(f"{path}: holds {found}, not {family}: create_model({found!r})")
        for layer, blobs in layers.items():
            if blobs and _LAYER.fullmatch(layer) is None:
                ignored.append(short(layer))
                continue
            for number, blob in enumerate(blobs):
                what = f"{path}: layer {layer}, blob {number}"
                place = _place(what, family, layer, number)
                if place is None:
                    _check_ones(what, blob)
                    continue
                part = _part(what, state, place, blob).numpy()
                values = blob.reshape(part.shape)
                if place not in filled:
                    part[...] = values
                    filled[place] = what
                elif np.array_equal(part, values, equal_nan=True):
                    copies += 1
                else:
                    other = filled[place].rpartition(": ")[2]
                    raise PosekitError(
                        f"{what} differs from {other}, which shares its weights: the file is "
                        "damaged or of another network"
                    )
    return Read(state, frozenset(filled), copies, tuple(ignored))


def _place(what: str, family: str, layer: str, blob: int) -> Place | None:
    """Where a blob belongs; None for the factors of a Scale layer, which are all 1."""
    name, number, stage, gate, input_kind, _ = _LAYER.fullmatch(layer).groups()
    if blob >= len(_KINDS):
        raise PosekitError(f"{what}: no layer of CPM or LPM has a third one; get the released file")
    kind = _KINDS[blob]
    if gate and input_kind:
        return Place(f"gates{input_kind}.{kind}", GATES.index(gate))
    if gate:
        return Place("gate_bias", GATES.index(gate)) if blob else None
    if stage == "1":
        return Place(f"stage1.conv{number}.{kind}")
    if family == "lpm":
        part = "features" if name == "conv" else "head"
        return Place(f"{part}.conv{number}.{kind}")
    if name != "conv":
        return Place(f"stage{stage}.head.conv{number}.{kind}")
    if stage == "2" and number != "4":
        return Place(f"trunk.conv{number}.{kind}")
    return Place(f"stage{stage}.features.{kind}")


def _part(what: str, state: dict[str, Tensor], place: Place, blob: np.ndarray) -> Tensor:
    """The piece of the state that a blob fills."""
    whole = state.get(place.name)
    if whole is None:
        raise PosekitError(f"{what}: the network has no {place.name}")
    part = whole if place.gate is None else whole.chunk(len(GATES))[place.gate]
    # Files of the first Caffe write every shape with four sizes, ones in front.
    if list(blob.shape[-part.ndim :]) != list(part.shape) or blob.size != part.numel():
        raise PosekitError(
            f"{what} is {list(blob.shape)}, {place.name} needs {list(part.shape)}: compare width "
            "and num_keypoints"
        )
    return part


def _check_ones(what: str, blob: np.ndarray) -> None:
    if not (blob == 1).all():
        raise PosekitError(f"{what}: LPM's Scale layers only add; this one multiplies as well")


def family_of(path: Path, layers: dict[str, list[np.ndarray]]) -> str:
    """The network, cpm or lpm, that the layers of a file belong to.

    Raises:
        PosekitError: they belong to neither.
    """
    names = [name for name, blobs in layers.items() if blobs]
    if any(re.fullmatch(r"[iogf](_[xh])?_stage[2-6]", name) for name in names):
        return "lpm"
    if any(re.fullmatch(r"Mconv[1-5]_stage[3-6]", name) for name in names):
        return "cpm"
    raise PosekitError(
        f"{path}: is neither CPM nor LPM, its layers are {few(names)}; get the released file"
    )


def _check_whole(model: nn.Module, places: Collection[Place], where: str) -> None:
    """Refuse to leave anything unfilled."""
    lacking = []
    for name in model.state_dict():
        if name in _BLOCKS:
            empty = [gate for i, gate in enumerate(GATES) if Place(name, i) not in places]
            lacking += [_BLOCKS[name].format(gate) for gate in empty]
        elif Place(name) not in places:
            lacking.append(name)
    if not lacking:
        return
    hint = ""
    if model.description.name == "lpm":
        hint = (
            ". A deploy network is a part of LPM: the first frame's has no memory (h and f "
            "gates), the later frames' no first stage; give both files as a list"
        )
    raise PosekitError(
        f"{where}: {len(lacking)} parts of {model.description.name} are not in it "
        f"({', '.join(lacking[:12])}{', ...' if len(lacking) > 12 else ''}){hint}"
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
            turned[name] = value[:, _order_of_inputs(value.shape[1])]
    return turned


def _order_of_inputs(channels: int) -> list[int]:
    """Image features, the beliefs of all joints and background, the centre map."""
    first = channels - len(ORDER) - 1
    return [*range(first), *(first + c for c in ORDER), channels - 1]
