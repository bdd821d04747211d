"""Load: from files to clips of the training, validation and test parts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ... import data
from ...config.knobs import PoseMachineRecipe, Recipe
from ...data import Annotations, EmptySplit
from ...data.clips import Clips
from ...data.framing import Framing
from ...data.occlusion.occluder import Occluder
from ...data.sample import ensure_sample
from ...data.transforms import (
    ColourJitter,
    HalfBody,
    NormalRotation,
    NormalScale,
    RandomFlip,
    RandomRotation,
    RandomScale,
    Transform,
)
from ...geometry.skeletons import SKELETONS, Skeleton
from ...models import describe
from .building import shapes_only
from .experiment import Experiment


def load(experiment: Experiment) -> str:
    """Read the data, hold a part out for validation, and cut it into clips.

    Returns:
        What there is, as text.

    Raises:
        PosekitError: what is missing or damaged and where to get it.
    """
    recipe, bound = experiment.recipe, experiment.bound
    if bound.source == "sample":
        experiment.root = ensure_sample(recipe.dataset, smoke=bound.smoke)
    else:
        experiment.root = bound.data_root
    tables = splits(recipe, experiment.root, bound.source)
    about = experiment.about or shapes_only(recipe, tables["train"].skeleton).description
    joints = SKELETONS.get(about.skeleton, tables["train"].skeleton)
    frames = recipe.frames if about.kind == "clip" else 1
    framing = framing_of(recipe)

    def clips(people: Annotations, **training: Any) -> Clips:
        return Clips(people, joints, frames, framing, **training)

    transforms = transforms_of(recipe, joints)
    experiment.train = clips(tables["train"], transforms=transforms, seed=recipe.seed)
    experiment.val = clips(tables["val"])
    scored = tables[recipe.eval_split]
    if getattr(recipe, "boxes", "ground_truth") == "detections":
        scored = _detections(recipe, experiment.root, bound.source)
        tables["found"] = scored
    experiment.test = clips(scored)
    notes = list(dict.fromkeys(n for table in tables.values() for n in table.notes))
    if recipe.eval_split != "test":
        notes.append(f"scored on the {recipe.eval_split} part, not on the test split")
    experiment.run.update(notes=notes, n_samples=len(experiment.test.people))
    lines = [
        f"{split:5}  {len(t):6,} frames in {len(np.unique(t.sequence)):5,} sequences, "
        f"{100 * t.visible.mean():3.0f} % of the joints annotated"
        for split, t in tables.items()
    ]
    label = experiment.run.label
    return "\n".join([label, *lines, *(f"note: {note}" for note in notes)])


def framing_of(recipe: Recipe) -> Framing:
    """How the recipe's family crops a person."""
    size, padding = recipe.image_size, recipe.box_padding
    if isinstance(recipe, PoseMachineRecipe):
        return Framing(size, padding)
    return Framing(size, padding, half_pixel=False, drop=drop_of(recipe.dataset), fill=0)


def transforms_of(recipe: Recipe, joints: Skeleton) -> list[Transform]:
    """The augmentation of training crops: that of the recipe's family, jitter, occlusion.

    A geometric transform whose knob is 0 stays in the list: what it draws belongs to the sequence
    of random numbers that a seed stands for.
    """
    reference_mode = getattr(recipe, "reference_mode", False)
    if isinstance(recipe, PoseMachineRecipe):
        transforms = [RandomScale(recipe.scale_range), RandomRotation(recipe.rotation)]
    else:
        h, w = recipe.image_size
        transforms = [
            HalfBody(recipe.half_body_prob, joints, aspect=w / h, reference_mode=reference_mode),
            NormalScale(recipe.scale_factor),
            NormalRotation(recipe.rotation, recipe.rotation_prob),
        ]
    transforms.append(RandomFlip(recipe.flip_prob))
    if recipe.colour_jitter:
        transforms.append(ColourJitter(recipe.colour_jitter))
    if recipe.occlusion != "none":
        occluder = Occluder(
            joints,
            kind=recipe.occlusion,
            mode=recipe.occlusion_mode,
            prob=recipe.occlusion_prob,
            exclude=recipe.occlusion_exclude,
            frames=getattr(recipe, "occlusion_frames", "all"),
            reference_mode=reference_mode,
            rgb=describe(recipe.network).colour == "RGB",
        )
        transforms.append(occluder)
    return transforms


def drop_of(dataset: str) -> float:
    """How far top-down crops are lowered, as a share of the box: MPII's centres sit too high."""
    return 15 / 200 if dataset == "MPII" else 0.0


def splits(recipe: Recipe, root: Path, source: str) -> dict[str, Annotations]:
    """Train, val and test tables; a partial folder that holds one split only is used for all."""
    partial_data, tables = recipe.source == "real", {}
    for split in ("train", "test"):
        try:
            tables[split] = data.load(
                recipe.dataset, split, root, source=source, allow_partial=partial_data
            )
        except EmptySplit:
            if not partial_data or (split == "test" and not tables):
                raise
    if len(tables) == 1:
        (split, only), *_ = tables.items()
        note = f"this folder holds the {split} split only: trained and scored on the same frames"
        only = replace(only, notes=(*only.notes, note))
        return {name: replace(only, split=name) for name in ("train", "val", "test")}
    train, val = hold_out(tables["train"], recipe.holdout)
    return {"train": train, "val": val, "test": tables["test"]}


def _detections(recipe: Recipe, root: Path, source: str) -> Annotations:
    """The people a detector found, in place of the annotated ones of the test split."""
    return data.load(
        recipe.dataset,
        "test",
        root,
        source=source,
        allow_partial=recipe.source == "real",
        boxes="detections",
    )


def hold_out(people: Annotations, share: float) -> tuple[Annotations, Annotations]:
    """Set whole sequences or images of the training part aside for validation.

    The same ones every time, so that runs can be compared. With nothing to set aside, validation
    looks at the training part itself.
    """
    video = people.dataset == "PennAction"
    unit = people.sequence if video else people.image  # several people may share an image
    units = np.unique(unit)
    count = min(round(share * len(units)), len(units) - 1)
    if count == 0:
        return people, people.rows(np.arange(len(people)), "val")
    held = np.isin(unit, np.random.default_rng(0).permutation(units)[:count])
    return people.rows(~held), people.rows(held, "val")
