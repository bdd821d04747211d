"""Build: the network, its cost, and how its family is fed, taught and read."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ...config.knobs import PoseMachineRecipe, Recipe, TopDownRecipe
from ...config.machine import Machine
from ...config.recipes import RECIPES, read_recipe
from ...data.clips import Clips
from ...errors import PosekitError
from ...files.places import project_root
from ...geometry.skeletons import Skeleton
from ...models import cost, create_model, describe, module_of
from ...models.families.pose_machine import PoseMachineTask
from ...models.families.task import Task
from ...models.families.top_down import TopDownTask
from ...weights import load_weights
from ...weights.imagenet import init_backbone
from .experiment import Experiment


def build(experiment: Experiment) -> str:
    """Make the network, starting from other weights where the recipe says so.

    Returns:
        Its table as text: parts with their parameters, shapes and cost for one clip.
    """
    recipe, clips, device = experiment.recipe, experiment.train, experiment.machine.device
    torch.manual_seed(recipe.seed)
    model = network_of(recipe, clips.skeleton)
    notes = [_start_backbone(model, getattr(recipe, "backbone", "none"))]
    if recipe.init:
        notes.append(str(load_weights(model, recipe.init)))
    frames = clips.rows.shape[1]
    about, inputs = model.description, one_clip(model, clips.image_size, frames)
    price = cost(model, *inputs)
    experiment.run.update(params_count=price.params, gmacs=price.gmacs, paper_title=about.paper)
    model.to(device)
    if recipe.channels_last and device.type != "mps":
        model.to(memory_format=torch.channels_last)
    experiment.task = make_task(recipe, model, clips.skeleton)
    lines = [
        f"{about.name}: {about.paper}",
        f"input {' and '.join(str(tuple(i.shape)) for i in inputs)} {about.colour}, "
        f"output {price.output}",
        *(f"  {name:16} {_count(part):>12,}" for name, part in model.named_children()),
        f"  {'parameters':16} {price.params:>12,}",
        f"  {'GMACs':16} {price.gmacs:>12.3f} for {frames} frame{'s' * (frames > 1)}",
        f"  {'legacy GFLOPs':16} {price.legacy_gflops:>12.3f} as HRNet's repository counts",
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


def shapes_only(recipe: Recipe, joints: Skeleton) -> nn.Module:
    """The recipe's network without weights, to ask it for shapes."""
    with torch.device("meta"):
        return network_of(recipe, joints)


def try_shapes(recipe: Recipe, joints: Skeleton) -> None:
    """Run the recipe's network on shapes alone, before anything is read.

    Raises:
        PosekitError: the network refuses the size of the crops or one of its options.
    """
    ghost = shapes_only(recipe, joints).eval()
    with torch.no_grad():
        ghost(*one_clip(ghost, recipe.image_size, getattr(recipe, "frames", 1)))


def network_of(recipe: Recipe, joints: Skeleton) -> nn.Module:
    """The recipe's network."""
    keypoints = len(joints) if isinstance(recipe, TopDownRecipe) else None
    return create_model(recipe.network, keypoints, **recipe.options())


def recipe_of_network(
    name: str, dataset: str | None = None, changes: Mapping[str, Any] | None = None
) -> Recipe:
    """The recipe of the paper that a network is from, or of another paper of its family.

    Args:
        name: of the registry.
        dataset: whose recipe; None, or one that there is none for, takes the usual one.
        changes: values in place of the recipe's.
    """
    stem, folder = module_of(name), project_root() / "params"
    usual = "PennAction" if describe(name).centre_map else "COCO"
    if stem in RECIPES:
        paper, variant = stem, ""
    else:  # it has a variant of another paper's recipe, under its name
        paper = max(file.parent.name for file in folder.glob(f"*/{usual}-{stem}.yaml"))
        variant = f"-{stem}"
    choices = [(dataset, variant), (dataset, ""), (usual, variant)]
    files = [(given, folder / paper / f"{given}{kind}.yaml") for given, kind in choices if given]
    dataset, file = next((given, file) for given, file in files if file.is_file())
    kind, values = RECIPES[paper], read_recipe(paper, file.name)
    values |= {"paper": paper, "dataset": dataset, "network": name, **(changes or {})}
    return kind.model_validate({k: v for k, v in values.items() if k in kind.model_fields})


def make_task(recipe: Recipe, model: nn.Module, joints: Skeleton) -> Task:
    """How the recipe's family feeds, teaches and reads a network."""
    if isinstance(recipe, PoseMachineRecipe):
        return PoseMachineTask(model, recipe.sigma, recipe.centre_sigma, recipe.loss)
    return TopDownTask(
        model,
        joints,
        recipe.sigma,
        recipe.loss,
        recipe.decoder,
        recipe.shift_heatmap,
        recipe.reference_mode,
    )


def one_clip(model: nn.Module, image_size: tuple[int, int], frames: int) -> list[torch.Tensor]:
    """Inputs of the right shape for one clip: frames or an image, perhaps a centre map."""
    lead = (1, frames) if model.description.kind == "clip" else (1,)
    shapes = [(*lead, 3, *image_size)] + [(1, 1, *image_size)] * model.description.centre_map
    return [torch.empty(shape, device="meta") for shape in shapes]


def batch_of(clips: Clips, chosen: np.ndarray, machine: Machine) -> dict[str, torch.Tensor]:
    """The named clips as one batch on the device."""
    samples = [clips[0, int(clip)] for clip in chosen]
    return machine.put(torch.utils.data.default_collate(samples))


@torch.no_grad()
def first_loss(experiment: Experiment) -> str:
    """The loss of the untrained network on one batch, beside that of saying nothing at all."""
    task, source = experiment.task, experiment.train
    count = min(experiment.recipe.batch_size, len(source))
    batch = batch_of(source, np.arange(count), experiment.machine)
    task.model.eval()
    outputs = task.outputs(batch["images"])
    drawn, silent = (task.loss(o, batch) for o in (outputs, torch.zeros_like(outputs)))
    return f"loss before training {drawn:.4g}; of empty maps {silent:.4g}"
