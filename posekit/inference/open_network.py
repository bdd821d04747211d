"""Any network by whatever the reader has: run folders, weight files, names, ONNX files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..config.families import TestingSettings
from ..config.settings import refuse
from ..data import dataset
from ..errors import PosekitError
from ..files.paths import existing_path, named_size, size_note
from ..files.words import near
from ..geometry.skeletons import SKELETONS, Skeleton, convert, skeleton
from ..models import Description, describe, list_models
from ..weights import RUN_WEIGHTS, load_weights, read_metadata
from ..weights.identify import open_questions
from ..weights.onnx_reader import OnnxNetwork, load_onnx
from . import stored_settings as stored
from .estimator import PoseEstimator
from .openvino_runtime import choose_runtime

ONNX_INPUT = ("skeleton", "colour", "mean", "std", "half_pixel")  # a file may not say them
_GUESSES = ("coco", "mpii", "lsp", "penn_action")  # skeletons of files that do not say theirs
_LIKE = {"pose_machine": "cpm", "top_down": "pose_resnet_50"}  # whose recipe tests an ONNX file
_UNTRAINED = {"width": 0.125, "image_size": (64, 64), "weight_init": "he"}


@dataclass(frozen=True)
class Found:
    """A network that has been found and not yet been built.

    Attributes:
        name: for tables, titles and files.
        story: what it is and where its weights come from, one sentence.
        joints: its skeleton, None where nothing says it: then it has the data set's.
        settings: how it is tested.
        origin: where the settings come from.
        weights: its file; without one the weights are random.
        onnx: the network itself, of an ONNX file.
    """

    name: str
    story: str
    joints: Skeleton | None
    settings: TestingSettings
    origin: str
    weights: Path | None = None
    onnx: OnnxNetwork | None = None

    @property
    def trained(self) -> bool:
        """False for random weights, whose poses mean nothing."""
        return self.onnx is not None or self.weights is not None

    @property
    def about(self) -> Description:
        """What it takes and returns."""
        return self.onnx.description if self.onnx else describe(self.settings.network)

    def told(self, settings: TestingSettings) -> str:
        """The story, options that were added, and what the file's name says of the crop."""
        path = self.onnx.path if self.onnx else self.weights
        note = path and size_note(path, settings.image_size)
        options = {} if self.onnx else settings.options()
        added = [f"{n} {v}" for n, v in options.items() if getattr(self.settings, n) != v]
        return "; ".join(filter(None, [", ".join([self.story, *added]), note]))

    def check(self, settings: TestingSettings, title: str) -> None:
        """Refuse settings that leave open how the network was trained.

        Raises:
            PosekitError: with what to set, below the title.
        """
        if self.weights:
            refuse(title, open_questions(settings.network, self.weights, settings.options()))

    def build(self, settings: TestingSettings, joints: Skeleton) -> nn.Module:
        """Make it for settings and joints, with its weights; random ones are always the same.

        Raises:
            PosekitError: its weights do not fit, or it has another number of joints.
        """
        torch.manual_seed(0)
        model = self.onnx or settings.build(joints)
        if self.weights:
            load_weights(model, self.weights)
        maps = model.description.num_keypoints
        if maps not in (0, len(joints)):  # an ONNX file may not say it
            raise PosekitError(
                f"{self.name} returns {maps} maps, {joints.name} has {len(joints)} joints: set "
                f"skeleton to the one that it was trained with, of {', '.join(SKELETONS)}"
            )
        return model


def find_network(
    source: str,
    dataset: str | None = None,
    known: Mapping[str, Any] | None = None,
) -> Found:
    """Find a network by whatever the reader has.

    Args:
        source: a run folder, an ONNX file, weights of posekit's own (.safetensors), `NAME@FILE` for
            the weights of others, or `NAME@random`. Paths are looked for below the current folder,
            then below the project.
        dataset: whose recipe says how a network without settings of its own is tested.
        known: what the reader knows where the file does not say it, such as width and trained_on;
            of an ONNX file, what the reader knows better about its input, see `ONNX_INPUT`.

    Raises:
        PosekitError: there is no such thing, or it does not fit.
    """
    source = source.strip()
    name, at, file = source.rpartition("@")
    if at and _is_network(name):
        if file == "random":
            return _untrained(name, dataset, (known or {}).get("width"))
        path = stored.weights_path(file)
        return _of_file(name, path / RUN_WEIGHTS if path.is_dir() else path, dataset, known)
    if _is_network(source):
        raise PosekitError(
            f"{source} alone has no weights: write {source}@FILE, the folder of a finished run of "
            f"it, or {source}@random for random weights, whose poses mean nothing"
        )
    path = existing_path(source)
    if path.suffix.lower() == ".onnx":
        return _of_onnx(path, dataset, known or {})
    if path.is_dir():
        return _of_run(path)
    if not path.is_file():
        hint = near(source, list_models()) or f"; networks are {', '.join(list_models())}"
        raise PosekitError(f"network={source!r}: no such run folder, file or network{hint}")
    if (noted := read_metadata(path).get("model")) in list_models():
        return _of_file(noted, path, dataset, known)
    raise PosekitError(
        f"{path} does not say which network it holds: write NAME@{path.name} with a name of "
        "posekit.list_models(), such as hrnet_w32@FILE"
    )


def open_estimator(
    source: str,
    device: torch.device,
    joints: str | None = None,
    image_size: tuple[int, int] | None = None,
    flip_test: bool | None = False,
    trained_on: str | None = None,
    dataset: str | None = None,
) -> PoseEstimator:
    """Open a network, ready to estimate poses.

    Args:
        source: see `find_network`.
        device: where to compute.
        joints: name of its skeleton, for files that do not say theirs.
        image_size: (h, w) of the crop; None as it was trained.
        flip_test: average with the mirror image; None as it is tested.
        trained_on: data set of weights of MobilePose-master, for files that do not say it.
        dataset: see `find_network`.

    Raises:
        PosekitError: there is no such thing, or it does not fit.
    """
    found = find_network(source, dataset, {"trained_on": trained_on, "skeleton": joints})
    own = found.joints or skeleton(joints or "coco")
    settings, title = found.settings, f"{source} cannot be opened with this:"
    found.check(settings, title)
    if image_size:
        settings = settings.made(settings.model_dump() | {"image_size": image_size}, title)
        if not found.onnx:
            settings.check_shapes(own)
    if flip_test is not None:
        settings = settings.model_copy(update={"flip_test": flip_test})
    model = found.build(settings, own).eval().to(device)
    return PoseEstimator(
        name=found.name,
        story=found.told(settings),
        trained=found.trained,
        task=settings.task(model, own),
        skeleton=own,
        framing=settings.framing(),
        device=device,
        flip_test=settings.flip_test,
        settings=settings,
    )


def check_joints(name: str, joints: Skeleton, scored_by: str) -> None:
    """Refuse a network without some of the joints that a data set scores."""
    scored = dataset(scored_by).skeleton
    everything = np.zeros((1, len(joints), 2)), np.ones((1, len(joints)), bool)
    known = convert(*everything, joints, scored)[1][0]
    if lacking := [joint for joint, there in zip(scored.joints, known, strict=True) if not there]:
        raise PosekitError(
            f"{name} predicts the joints of {joints.name}; {scored_by} scores "
            f"{', '.join(lacking)} as well, so it cannot be scored there"
        )


def _is_network(name: str) -> bool:
    if name in list_models():
        return True
    return ":" in name and not existing_path(name).exists() and bool(describe(name))


def _untrained(name: str, dataset: str | None, width: float | None) -> Found:
    """A network with random weights, small, to see the machinery move."""
    small = _UNTRAINED | ({"width": width} if width else {})
    joints = describe(name).skeleton
    return Found(
        name=name,
        story=f"{name} untrained: RANDOM weights, small; its poses mean nothing and are no result",
        joints=joints and skeleton(joints),
        settings=stored.usual_settings(name, dataset, small),
        origin="usual",
    )


def _of_run(folder: Path) -> Found:
    weights = folder / RUN_WEIGHTS
    if not weights.is_file():
        raise PosekitError(
            f"{folder}: this run left no {RUN_WEIGHTS}; choose a finished training run"
        )
    trained = stored.run_settings(folder)
    noted = stored.noted_skeleton(weights)
    if noted is None:
        raise PosekitError(
            f"{weights}: its metadata lack skeleton, the joints that it was trained on: copy the "
            "run folder again"
        )
    about = describe(trained.network)
    sample = " (generated sample)" * (trained.source == "sample")
    title = trained.occlusion_title
    part = f"{trained.train_set} of " * (trained.train_set != "train")
    story = f"{about.name} of run {folder.name}, trained on {part}{trained.dataset}{sample}"
    if title:
        story += f", crops occluded by {title}"
    name = f"{about.name} ({title})" if title else about.name
    return Found(name, story, skeleton(noted), stored.tested(trained), "the run", weights)


def _of_file(name: str, path: Path, dataset: str | None, known: Mapping[str, Any] | None) -> Found:
    """A network by name with weights of a file, which may lack its skeleton and sizes."""
    settings = stored.file_settings(name, path, dataset, known)
    joints = stored.noted_skeleton(path) or describe(name).skeleton or _guess(settings, path)
    if (home := stored.home_of(joints)) and home != settings.dataset:
        settings = stored.file_settings(name, path, home, known)
    options = [f"{option} {value}" for option, value in settings.options().items()]
    story = ", ".join([f"{name} with the weights of {path.name}", *options])
    return Found(name, story, skeleton(joints), settings, "the recipe", path)


def _guess(settings: TestingSettings, path: Path) -> str:
    """The first skeleton whose number of joints fits the weights; coco if none does."""
    tensors = stored.tensors_of(path)
    for guess in _GUESSES:
        own = settings.shapes_only(skeleton(guess)).state_dict()
        if all(tensors[key].shape == own[key].shape for key in own.keys() & tensors.keys()):
            return guess
    return _GUESSES[0]  # load_weights explains what is wrong


def _of_onnx(path: Path, dataset: str | None, known: Mapping[str, Any]) -> Found:
    network = load_onnx(path, **{name: known.get(name) for name in ONNX_INPUT})
    runtime = choose_runtime(network)
    about = network.description
    changes: dict[str, Any] = {"width": 1.0}
    if about.family == "top_down":
        changes["shift_heatmap"] = not about.half_pixel
    if size := network.input_size or named_size(path):
        changes["image_size"] = size
    settings = stored.usual_settings(_LIKE[about.family], dataset or stored.home_of(about.skeleton))
    mean, std = (" ".join(f"{value:.4g}" for value in values) for values in (about.mean, about.std))
    story = f"{path.name} computed by {runtime}: {about.colour}, mean {mean}, std {std} of 0..255"
    return Found(
        name=path.stem,
        story=story,
        joints=SKELETONS.get(about.skeleton or ""),
        settings=settings.model_copy(update=changes | {"network": about.name}),
        origin="the file" if network.described else "usual",
        onnx=network,
    )
