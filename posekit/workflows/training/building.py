"""Build: the network, its cost, and how its family is fed, taught and read."""

import os
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ...config.machine import Machine
from ...data.clips import Clips
from ...errors import PosekitError
from ...models import cost
from ...weights import load_weights
from ...weights.imagenet import init_backbone
from .experiment import Experiment


def build(experiment: Experiment) -> str:
    """Make the network, starting from other weights where the settings say so.

    Returns:
        Its table as text: parts with their parameters, shapes and cost for one clip.
    """
    settings, clips, device = experiment.settings, experiment.train, experiment.machine.device
    torch.manual_seed(settings.seed)
    model = settings.build(clips.skeleton)
    notes = [_start_backbone(model, settings.backbone)]
    if settings.init:
        notes.append(str(load_weights(model, settings.init)))
    about = experiment.about = model.description
    inputs = settings.one_clip(about)
    work = cost(model, *inputs)
    experiment.run.update(
        model=about.name, params_count=work.params, gmacs=work.gmacs, paper_title=about.paper
    )
    model.to(device)
    if settings.channels_last and device.type != "mps":
        model.to(memory_format=torch.channels_last)
    experiment.task = settings.task(model, clips.skeleton)
    frames = settings.clip_length(about)
    lines = [
        f"{about.name}: {about.paper}",
        f"input {' and '.join(str(tuple(i.shape)) for i in inputs)} {about.colour}, "
        f"output {work.output}",
        *(f"  {name:16} {_count(part):>12,}" for name, part in model.named_children()),
        f"  {'parameters':16} {work.params:>12,}",
        f"  {'GMACs':16} {work.gmacs:>12.3f} for {frames} frame{'s' * (frames > 1)}",
        f"  {'legacy GFLOPs':16} {work.legacy_gflops:>12.3f} as HRNet's repository counts",
    ]
    experiment.network = "\n".join([*lines, *filter(None, notes)])
    return experiment.network


def _start_backbone(model: nn.Module, backbone: str) -> str:
    """Fill the backbone from an ImageNet file; "auto" takes one that torchvision has, or none."""
    if backbone == "none":
        return ""
    if backbone != "auto":
        return str(init_backbone(model, Path(os.path.expanduser(backbone))))
    try:
        return str(init_backbone(model))
    except PosekitError as error:
        return f"the backbone starts at random: {error}"


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def batch_of(clips: Clips, chosen: np.ndarray, machine: Machine) -> dict[str, torch.Tensor]:
    """The named clips as one batch on the device."""
    samples = [clips[0, int(clip)] for clip in chosen]
    return machine.put(torch.utils.data.default_collate(samples))


@torch.no_grad()
def first_loss(experiment: Experiment) -> str:
    """The loss of the untrained network on one batch, beside that of saying nothing at all."""
    task, source = experiment.task, experiment.train
    count = min(experiment.settings.batch_size, len(source))
    batch = batch_of(source, np.arange(count), experiment.machine)
    task.model.eval()
    outputs = task.outputs(batch["images"])
    drawn, silent = (task.loss(o, batch) for o in (outputs, torch.zeros_like(outputs)))
    return f"loss before training {drawn:.4g}; of empty maps {silent:.4g}"
