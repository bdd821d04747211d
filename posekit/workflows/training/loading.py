"""Load: from files to clips of the training, validation and test parts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ... import data
from ...config.knobs import PoseMachineRecipe, Recipe
from ...data import Annotations, EmptySplit
from ...data.clips import Clips
from ...data.framing import Framing, TopDownAugmentation, UniformAugmentation
from ...data.occlusion.occluder import Occluder
from ...data.sample import ensure_sample
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
    framing, augmentation = crops_of(recipe, joints)

    def clips(people: Annotations, *changes: Any) -> Clips:
        return Clips(people, joints, frames, framing, *changes)

    changes = augmentation, recipe.seed, occluder_of(recipe, joints)
    experiment.train = clips(tables["train"], *changes)
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


def occluder_of(recipe: Recipe, joints: Skeleton) -> Occluder | None:
    """What covers training crops, where the recipe asks for it."""
    if recipe.occlusion == "none":
        return None
    return Occluder(
        joints,
        recipe.occlusion,
        recipe.occlusion_mode,
        recipe.occlusion_prob,
        recipe.occlusion_exclude,
        getattr(recipe, "occlusion_frames", "all"),
        getattr(recipe, "reference_mode", False),
        describe(recipe.network).colour == "RGB",
    )


def crops_of(recipe: Recipe, joints: Skeleton) -> tuple[Framing, Any]:
    """How the recipe's family frames a person, and how training moves the crop about."""
    size, jitter = recipe.image_size, recipe.colour_jitter
    if isinstance(recipe, PoseMachineRecipe):
        moves = (recipe.scale_range, recipe.rotation, recipe.flip_prob, jitter)
        return Framing(size, recipe.box_padding), UniformAugmentation(*moves)
    drop = data.dataset(recipe.dataset).crop_drop
    framing = Framing(size, recipe.box_padding, half_pixel=False, drop=drop, fill=0)
    augmentation = TopDownAugmentation(
        joints,
        size[1] / size[0],
        recipe.half_body_prob,
        recipe.scale_factor,
        recipe.rotation,
        recipe.rotation_prob,
        recipe.flip_prob,
        jitter,
        recipe.reference_mode,
    )
    return framing, augmentation


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
    uses the training part itself.
    """
    units = np.unique(people.group)
    count = min(round(share * len(units)), len(units) - 1)
    if count == 0:
        return people, people.rows(np.arange(len(people)), "val")
    held = np.isin(people.group, np.random.default_rng(0).permutation(units)[:count])
    return people.rows(~held), people.rows(held, "val")
