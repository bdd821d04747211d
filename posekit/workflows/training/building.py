"""Build: the network, its cost, and how its family is fed, taught and read."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ...config.families import TrainingSettings
from ...config.machine import Machine
from ...data.clips import Clips
from ...errors import PosekitError
from ...files.paths import existing_path, regular_file, weight_folders
from ...models import cost
from ...models.complexity import onnx_cost
from ...train.fine_tuning import start_from
from ...weights.imagenet import BACKBONES, PAGE, init_backbone
from ...weights.onnx_reader import OnnxNetwork
from .experiment import Experiment


def build(exp: Experiment) -> str:
    """Make the network, starting from other weights where the settings say so.

    Returns:
        Its table as text: parts with their parameters, shapes and cost for one clip.
    """
    settings = exp.settings
    torch.manual_seed(settings.seed)
    model = settings.build(exp.train.skeleton)
    notes = []
    if path := find_backbone(settings):
        notes.append(str(init_backbone(model, path)))
    elif settings.backbone and not settings.init:
        notes.append("the backbone starts at random: no ImageNet weights are published for it")
    if settings.init:
        notes.append(start_from(model, exp.train.skeleton, settings.init))
    if exp.machine.training_dtype is not exp.machine.dtype:
        notes.append(f"trained in {exp.machine.precision}: precision=fp32 compares with other CPUs")
    return use(exp, model, notes)


def use(exp: Experiment, model: nn.Module, notes: Sequence[str] = ()) -> str:
    """Take a network for the run: what it costs is noted, and it goes to the device.

    Args:
        exp: after `load`.
        model: the network with the weights that it starts with.
        notes: further lines of its table.

    Returns:
        Its table as text: parts with their parameters, shapes and cost for one clip.
    """
    settings, device, skeleton = exp.settings, exp.machine.device, exp.train.skeleton
    about = exp.about = model.description
    inputs, frames = settings.one_clip(about), settings.clip_length(about)
    stored = isinstance(model, OnnxNetwork)
    work = onnx_cost(model.path, *settings.image_size) if stored else cost(model, *inputs)
    exp.run.update(
        model=about.name, params_count=work.params, gmacs=work.gmacs, paper_title=about.paper
    )
    model.to(device)
    if settings.channels_last and device.type != "mps":
        model.to(memory_format=torch.channels_last)
    exp.task = settings.task(model, skeleton)
    shapes = " and ".join(str(tuple(i.shape)) for i in inputs)
    parts = {name: sum(p.numel() for p in m.parameters()) for name, m in model.named_children()}
    lines = [
        f"{about.name}: {about.paper}",
        f"input {shapes} {about.colour}, output {work.output}",
        *(f"  {name:16} {count:>12,}" for name, count in parts.items()),
        f"  {'parameters':16} {work.params:>12,}",
        f"  {'GMACs':16} {work.gmacs:>12.3f} for {frames} frame{'s' * (frames > 1)}",
    ]
    if not stored:
        legacy = f"{work.legacy_gflops:>12.3f} as HRNet's repository counts"
        lines.append(f"  {'legacy GFLOPs':16} {legacy}")
    exp.network = "\n".join([*lines, *filter(None, notes)])
    return exp.network


def find_backbone(settings: TrainingSettings) -> Path | None:
    """The ImageNet file that the network starts from; nothing is read.

    `auto` looks for the file of the network's paper in `weight_folders()` and where torchvision
    keeps its downloads; another release of the same network will do.

    Returns:
        Its path; None where the network starts from other weights or at random, as it does with
        auto where none are published for it: other networks, other widths.

    Raises:
        PosekitError: there is none; says which file is looked for, where, and from which page.
    """
    if settings.backbone is None or settings.init:
        return None
    if settings.backbone != "auto":
        return regular_file(existing_path(settings.backbone), "file of ImageNet weights")
    if settings.network not in BACKBONES or "width" in settings.options():
        return None
    name, _ = BACKBONES[settings.network]
    folders = [*weight_folders(), Path(torch.hub.get_dir(), "checkpoints")]
    for pattern in (name, f"{name.partition('-')[0]}-*.pth"):
        if found := [path for folder in folders for path in sorted(folder.rglob(pattern))]:
            return found[0]
    raise PosekitError(
        f"backbone=auto: {settings.network} starts from the ImageNet weights {name}, which are not "
        f"in {', '.join(map(str, folders))}: get them by {PAGE}, or add -p backbone FILE, or -p "
        "backbone none to start at random"
    )


def batch_of(clips: Clips, chosen: np.ndarray, machine: Machine) -> dict[str, torch.Tensor]:
    """The named clips as one batch on the device."""
    samples = [clips[0, int(clip)] for clip in chosen]
    return machine.put(torch.utils.data.default_collate(samples))


@torch.no_grad()
def first_loss(exp: Experiment) -> str:
    """The loss of the untrained network on one batch, beside that of empty maps."""
    count = min(exp.settings.batch_size, len(exp.train))
    batch = batch_of(exp.train, np.arange(count), exp.machine)
    exp.task.model.eval()
    outputs = exp.task.outputs(batch["images"])
    drawn, empty = (exp.task.loss(o, batch) for o in (outputs, torch.zeros_like(outputs)))
    return f"loss before training {drawn:.4g}; of empty maps {empty:.4g}"
