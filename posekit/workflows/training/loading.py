"""Load: from files to clips of the training, validation and test parts."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from ... import data
from ...config.recipes import recipe_of_network
from ...data import Annotations, EmptySplit
from ...data.annotations import mixed
from ...data.clips import Clips
from ...data.sample import ensure_sample
from ...errors import PosekitError
from ...geometry.crops import resized
from ...geometry.skeletons import SKELETONS, Skeleton
from .experiment import Experiment


def load(exp: Experiment, transforms: Sequence = ()) -> str:
    """Read the data, hold a part out for validation, and cut it into clips.

    Args:
        exp: after `start`.
        transforms: augmentation of your own, after that of the settings.

    Returns:
        What there is, as text.

    Raises:
        PosekitError: what is missing or damaged and where to get it.
    """
    settings, config, names = exp.settings, exp.config, exp.settings.dataset.split("+")
    for name in names:
        exp.root = config.data_root or ensure_sample(name, smoke=config.smoke)
    tables, spec = splits(exp), data.dataset(settings.scored)
    joints = SKELETONS.get(exp.about.skeleton or "", spec.skeleton)
    frames, framing = settings.clip_length(exp.about), settings.framing(spec.crop_drop)
    cut = partial(Clips, skeleton=joints, frames=frames, framing=framing)
    augmentation = [*settings.transforms(joints), *transforms]
    tables["train"] = settings.training_people(tables["train"], framing)
    exp.val = cut(tables["val"])
    scored = tables.get("found") or tables[settings.eval_split]
    exp.test = cut(scored, frames=settings.clip_length(exp.about, testing=True))
    people = tables["train"] = with_others(exp, tables["train"], joints)
    training = {"transforms": augmentation, "seed": settings.seed, "random_start": True}
    exp.train = cut(people, **training, **settings.training_clips(people, framing))
    notes = list(dict.fromkeys(n for table in tables.values() for n in table.notes))
    if len(names) > 1:
        notes.append(f"trained on {settings.dataset}, validated and scored on {spec.name}")
    if settings.eval_split in ("train", "val"):
        notes.append(f"scored on the {settings.eval_split} part, not on the test split")
    elif settings.eval_split == "test" and settings.train_part(spec.name) != "train":
        notes.append(f"trained on {settings.train_set}, which has the people that are scored")
    exp.run.update(notes=notes, n_samples=len(exp.test.people))
    lines = [
        f"{split:5}  {len(t):6,} frames in {len(np.unique(t.sequence)):5,} sequences, "
        f"{100 * t.visible.mean():3.0f} % of the joints annotated"
        for split, t in tables.items()
    ]
    return "\n".join([exp.run.label, *lines, *(f"note: {note}" for note in notes)])


def splits(exp: Experiment) -> dict[str, Annotations]:
    """Train, val and test tables; a partial folder that holds one split only is used for all.

    Further tables are the split to predict that has no ground truth, by its name, and the people
    that a detector found in the split, as "found".
    """
    settings, tables, read = exp.settings, {}, _reader(exp)
    for split, part in (("train", settings.train_part(settings.scored)), ("test", "test")):
        try:
            tables[split] = replace(read(settings.scored, part), split=split)
        except EmptySplit:
            if settings.source != "real" or (split == "test" and not tables):
                raise
    if len(tables) == 1:
        (split, only), *_ = tables.items()
        note = f"this folder holds the {split} split only: trained and scored on the same frames"
        only = replace(only, notes=(*only.notes, note))
        tables = {name: replace(only, split=name) for name in ("train", "val", "test")}
    else:
        train, val = hold_out(tables["train"], settings.holdout)
        tables = {"train": train, "val": val, "test": tables["test"]}
    boxes, split = settings.scored_boxes, settings.eval_split
    scored = split if boxes == "ground_truth" else "found"
    if scored not in tables:
        tables[scored] = read(settings.scored, split, boxes=boxes)
    if (tables[scored].score < settings.image_thre).all():
        raise PosekitError(f"image_thre={settings.image_thre:g} leaves no box to score: lower it")
    return tables


def _reader(exp: Experiment) -> Callable[..., Annotations]:
    options = {"root": exp.root, "source": exp.config.source}
    return partial(data.load, **options, allow_partial=exp.settings.source == "real")


def with_others(exp: Experiment, people: Annotations, joints: Skeleton) -> Annotations:
    """Training people of the scored data set and, where `dataset` names others, of these as well.

    The others are as large in the crop as the recipe of their own data set makes them.
    """
    settings, read, tables = exp.settings, _reader(exp), [people]
    for name in settings.dataset.split("+"):
        if name != settings.scored:
            table = read(name, settings.train_part(name))
            boxes = table.boxes
            if exp.config.source == "real":  # the sample has one padding for all
                names = name, settings.scored
                own, ours = (recipe_of_network(settings.network, n)[1] for n in names)
                boxes = resized(boxes, own["box_padding"] / ours["box_padding"])
            tables.append(replace(table, split="train", boxes=boxes))
    return mixed(tables, joints) if len(tables) > 1 else people


def hold_out(people: Annotations, share: float) -> tuple[Annotations, Annotations]:
    """Set whole groups (videos or images) of the training part aside for validation.

    The same ones every time, so that runs can be compared. With nothing to set aside, validation
    looks at the training part itself.
    """
    groups = np.unique(people.group)
    count = min(round(share * len(groups)), len(groups) - 1)
    if count == 0:
        return people, people.rows(np.arange(len(people)), "val")
    held = np.isin(people.group, np.random.default_rng(0).permutation(groups)[:count])
    return people.rows(~held), people.rows(held, "val")
