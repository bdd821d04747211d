"""The steps of a training notebook, in its order: start, load, build, train, evaluate, finish."""

import contextlib
import os
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from . import data, metrics, viz
from .data import Annotations, EmptySplit
from .data.clips import Clips, loader
from .data.framing import Framing, TopDownAugmentation, UniformAugmentation
from .data.sample import ensure_sample
from .errors import PosekitError
from .evaluate import Predictions, lenient, mean_pose, official, predict, quick
from .models import Description, cost, create_model, describe, list_models
from .occlusion import Occluder
from .recipes import Bound, PoseMachineRecipe, Recipe, TopDownRecipe, bind, published
from .report import build_index, headline, shown, write_report
from .results import Run, comparison
from .skeletons import SKELETONS, Skeleton
from .train.loop import Log, Machine, choose_machine
from .train.pose_machine import PoseMachineTask
from .train.progress import bar, epoch_lines
from .train.rounds import fit_rounds, rounds_of
from .train.task import Task
from .train.top_down import TopDownTask
from .weights import load_weights, save_weights
from .weights.imagenet import init_backbone

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass
class Experiment:
    """One run of one paper's notebook: what every later step needs from the earlier ones.

    Attributes:
        bound: the checked parameters.
        run: the run folder.
        machine: device, precision, loading processes.
        root: the data root that is read.
        train: training clips, augmented.
        val: clips held out from training, for choosing the best epoch.
        test: the clips that are scored.
        task: the network with its targets, loss and decoding.
        log: the training log.
        network: the network's table as text.
        predictions: of the scored clips.
        tables: heading -> table, for the report.
        about: what the network eats, where it is not one that the recipe names.
    """

    bound: Bound
    run: Run
    machine: Machine
    root: Path | None = None
    train: Clips | None = None
    val: Clips | None = None
    test: Clips | None = None
    task: Task | None = None
    log: Log | None = None
    network: str = ""
    predictions: Predictions | None = None
    tables: dict[str, "pd.DataFrame"] = field(default_factory=dict)
    about: Description | None = None

    @property
    def recipe(self) -> Recipe:
        """The values of the parameters."""
        return self.bound.recipe


def start(paper: str, namespace: dict[str, Any]) -> Experiment:
    """Check the notebook's parameters and open the run folder.

    An interrupted run of the same parameters is continued, unless resume is "never".

    Args:
        paper: stem of the paper.
        namespace: the notebook's `globals()`.

    Raises:
        PosekitError: naming everything that is wrong with the parameters, before any work.
    """
    bound = bind(paper, namespace)
    recipe = bound.recipe
    family = isinstance(recipe, PoseMachineRecipe)
    fitting = [name for name in list_models() if describe(name).centre_map == family]
    if recipe.network not in fitting:
        raise PosekitError(f"network={recipe.network!r}: choose one of {', '.join(fitting)}")
    if recipe.init and not Path(recipe.init).expanduser().exists():
        raise PosekitError(f"init={recipe.init!r}: there is no such run folder or weights file")
    machine = choose_machine(recipe)
    return Experiment(bound, open_run(bound), machine)


def open_run(bound: Bound) -> Run:
    """The run folder; whoever runs the notebook learns where it is and a failure is noted in it."""
    run = Run.open(bound)
    _watch_for_failure(run)
    if link := os.environ.get("POSEKIT_RUN_LINK"):
        Path(link).write_text(str(run.folder), encoding="utf-8")
    return run


def _watch_for_failure(run: Run) -> None:
    """In a notebook, note in the run's record when a cell fails or is interrupted."""
    with contextlib.suppress(ImportError):
        from IPython import get_ipython

        if shell := get_ipython():

            def after_cell(result: Any) -> None:
                error = result.error_in_exec or result.error_before_exec
                if error is not None and run.record["status"] != "finished":
                    run.update(
                        status="interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
                    )

            shell.events.register("post_run_cell", after_cell)


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
    tables = _splits(recipe, experiment.root, bound.source)
    about = experiment.about or _shapes_only(recipe, tables["train"].skeleton).description
    joints = SKELETONS.get(about.skeleton, tables["train"].skeleton)
    frames = recipe.frames if about.kind == "clip" else 1
    framing, augmentation = _crops(recipe, joints)

    def clips(people: Annotations, *changes: Any) -> Clips:
        return Clips(people, joints, frames, framing, *changes)

    changes = augmentation, recipe.seed, _occluder(recipe, joints)
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


def _occluder(recipe: Recipe, joints: Skeleton) -> Occluder | None:
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
        getattr(recipe, "faithful", False),
    )


def _crops(recipe: Recipe, joints: Skeleton) -> tuple[Framing, Any]:
    """How the recipe's family frames a person, and how training moves the crop about."""
    size, jitter = recipe.image_size, recipe.colour_jitter
    if isinstance(recipe, PoseMachineRecipe):
        moves = (recipe.scale_range, recipe.rotation, recipe.flip_prob, jitter)
        return Framing(size, recipe.box_padding), UniformAugmentation(*moves)
    drop = 15 / 200 if recipe.dataset == "MPII" else 0.0
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
        recipe.faithful,
    )
    return framing, augmentation


def _shapes_only(recipe: Recipe, joints: Skeleton) -> nn.Module:
    """The recipe's network without weights, to ask it for shapes."""
    with torch.device("meta"):
        return network_of(recipe, joints)


def network_of(recipe: Recipe, joints: Skeleton) -> nn.Module:
    """The recipe's network."""
    keypoints = len(joints) if isinstance(recipe, TopDownRecipe) else None
    return create_model(recipe.network, keypoints, **recipe.options())


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
        recipe.faithful,
    )


def _splits(recipe: Recipe, root: Path, source: str) -> dict[str, Annotations]:
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
    if recipe.eval_split != "test":
        raise PosekitError(f"boxes=detections are of the test split, not of {recipe.eval_split}")
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
    about, inputs = model.description, one_clip(model, clips)
    price = cost(model, *inputs)
    experiment.run.update(params_count=price.params, gmacs=price.gmacs, paper_title=about.paper)
    model.to(device)
    if recipe.channels_last and device.type == "cuda":
        model.to(memory_format=torch.channels_last)
    experiment.task = make_task(recipe, model, clips.skeleton)
    frames = clips.rows.shape[1]
    lines = [
        f"{about.name}: {about.paper}",
        f"input {' and '.join(str(tuple(i.shape)) for i in inputs)} {about.colour}, "
        f"output {price.output}",
        *(f"  {name:16} {_count(part):>12,}" for name, part in model.named_children()),
        f"  {'parameters':16} {price.params:>12,}",
        f"  {'GMACs':16} {price.gmacs:>12.3f} for {frames} frame{'s' * (frames > 1)}",
    ]
    experiment.network = "\n".join([*lines, *filter(None, notes)])
    return experiment.network


def _start_backbone(model: nn.Module, backbone: str) -> str:
    """Fill the backbone from an ImageNet file; "auto" takes one that torchvision has, or none."""
    if backbone == "none":
        return ""
    if backbone != "auto":
        return str(init_backbone(model, Path(backbone).expanduser()))
    try:
        return str(init_backbone(model))
    except PosekitError as error:
        return f"the backbone starts at random: {error}"


def one_clip(model: nn.Module, clips: Clips) -> list[torch.Tensor]:
    """Inputs of the right shape for one clip: frames or an image, perhaps a centre map."""
    (h, w), frames = clips.image_size, clips.rows.shape[1]
    lead = (1, frames) if model.description.kind == "clip" else (1,)
    shapes = [(*lead, 3, h, w)] + [(1, 1, h, w)] * model.description.centre_map
    return [torch.empty(shape, device="meta") for shape in shapes]


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def sample_grid(experiment: Experiment, clips: int = 6) -> Any:
    """A figure of training clips as the network sees them, augmented, with their keypoints."""
    source = experiment.train
    chosen = np.linspace(0, len(source) - 1, clips).astype(int).tolist()
    samples = [source[0, clip] for clip in chosen]
    frames = min(source.rows.shape[1], 3)
    cells = [(s["images"][t].transpose(1, 2, 0), s, t) for t in range(frames) for s in samples]
    figure = viz.skeleton_grid(
        [image for image, _, _ in cells],
        [s["keypoints"][t] for _, s, t in cells],
        [s["visible"][t] for _, s, t in cells],
        source.skeleton,
        f"Training clips, one a column: {experiment.run.label}",
        columns=clips,
    )
    caption = "Training crops after augmentation with their annotated joints; frames go downwards."
    return experiment.run.figure("1-samples", figure, caption)


def codec_check(experiment: Experiment, clips: int = 4) -> Any:
    """Draw targets of test clips and read them back: the best that any network can do.

    Prints how far the joints read off perfect heat maps are from the truth; returns a figure.
    """
    source, recipe, size = experiment.test, experiment.recipe, experiment.test.image_size
    if not source.visible.any():  # detections have no truth
        source = experiment.val
    ghost = _shapes_only(recipe, source.skeleton)
    task = make_task(recipe, ghost, source.skeleton)
    cells = cost(ghost, *one_clip(ghost, source)).output[-2:]
    chosen = np.unique(np.linspace(0, len(source) - 1, 64).astype(int))
    batch = _batch(source, chosen, experiment.machine)
    keypoints, visible = batch["keypoints"][:, :1], batch["visible"][:, :1]
    target, weights = task.paint(keypoints, visible, size, cells)
    joints = target[:, :, : len(source.skeleton)]
    found, _ = task.decode(joints, size)
    inside = (joints.amax((-2, -1)) > 0) & (weights[:, :, : len(source.skeleton)] > 0)
    error = (found - keypoints).norm(dim=-1)[visible & inside]
    print(
        f"targets read back: mean error {error.mean():.2f} px, worst {error.max():.2f} px, "
        f"in crops of {size[0]} x {size[1]} px with cells of {size[0] / cells[0]:.3g} px"
    )
    images = batch["images"][:clips, 0].permute(0, 2, 3, 1).cpu().numpy()
    figure = viz.heatmap_grid(
        images,
        target[:clips, 0].cpu().numpy(),
        [f"clip {clip + 1}" for clip in range(len(images))],
        [*source.skeleton.joints, "background"][: target.shape[2]],
        f"What the network is taught: {experiment.run.label}",
    )
    return experiment.run.figure("2-targets", figure, "Target heat maps over their crops.")


def _batch(clips: Clips, chosen: np.ndarray, machine: Machine) -> dict[str, torch.Tensor]:
    """The named clips as one batch on the device."""
    samples = [clips[0, int(clip)] for clip in chosen]
    return machine.put(torch.utils.data.default_collate(samples))


@torch.no_grad()
def first_loss(experiment: Experiment) -> str:
    """The loss of the untrained network on one batch, beside that of saying nothing at all."""
    task, source = experiment.task, experiment.train
    count = min(experiment.recipe.batch_size, len(source))
    batch = _batch(source, np.arange(count), experiment.machine)
    task.model.eval()
    outputs = task.outputs(batch["images"])
    drawn, silent = (task.compare(o, batch) for o in (outputs, torch.zeros_like(outputs)))
    return f"loss before training {drawn:.4g}; of empty maps {silent:.4g}"


def train(experiment: Experiment) -> "pd.DataFrame":
    """Train, or continue an interrupted training; the best epoch's weights are kept.

    Prints one line an epoch. Returns the log as a table.
    """
    import pandas as pd

    recipe, machine, run = experiment.recipe, experiment.machine, experiment.run
    pin = machine.device.type == "cuda"
    make = partial(loader, batch_size=recipe.batch_size, workers=machine.workers, pin=pin)
    batches, held_out = make(experiment.train, shuffle=True), make(experiment.val, shuffle=False)
    show = epoch_lines(rounds_of(recipe) * recipe.epochs, _validation_metric(recipe))
    writer = _tensorboard(run.folder) if recipe.tensorboard else None

    def validate() -> float:
        found = predict(experiment.task, held_out, machine)
        return quick(experiment.val, found.keypoints)

    def report(record: dict[str, Any]) -> None:
        show(record)
        seconds = sum(r["seconds"] for r in experiment.log.records)
        run.update(epochs_done=record["epoch"], train_seconds=seconds)
        if writer:
            for key in record.keys() - {"epoch"}:
                writer.add_scalar(key, record[key], record["epoch"])

    experiment.log = Log(run.folder / "log.jsonl")
    if run.resumed:
        print(f"continuing {run.folder.name}")
    best = fit_rounds(
        experiment.task,
        batches,
        validate,
        recipe,
        machine,
        run.checkpoints,
        experiment.log,
        report,
        bar,
    )
    model = experiment.task.model
    model.load_state_dict(best.best_weights())
    about = model.description
    save_weights(
        model,
        run.folder / "weights.safetensors",
        {
            "model": about.name,
            "paper": about.paper,
            "skeleton": experiment.train.skeleton.name,
            "colour": about.colour,
            "image_size": str(list(recipe.image_size)),
            "width": str(recipe.width),
            "run": run.folder.name,
            "data": run.label,
        },
    )
    return pd.DataFrame(experiment.log.records)


def _validation_metric(recipe: Recipe) -> str:
    known = metrics.PROTOCOLS.get(recipe.dataset)
    return f"val {known.name}" if known else "val mean OKS, percent"


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise PosekitError(
            "tensorboard=True needs the package tensorboard: pip install tensorboard"
        ) from error
    return SummaryWriter(folder / "tensorboard")


def curves(experiment: Experiment) -> Any:
    """Figure of loss, validation score and learning rate."""
    metric = _validation_metric(experiment.recipe)
    title = f"Training of {experiment.recipe.network} on {experiment.run.label}"
    figure = viz.curves(experiment.log.records, metric, title)
    return experiment.run.figure("3-curves", figure, "Loss, validation score, learning rate.")


def evaluate(experiment: Experiment) -> "pd.DataFrame":
    """Score the test split under the official protocol, beside mean pose and published scores."""
    recipe, run, machine = experiment.recipe, experiment.run, experiment.machine
    batches = loader(
        experiment.test, recipe.batch_size, False, machine.workers, machine.device.type == "cuda"
    )
    experiment.predictions = predict(
        experiment.task, batches, machine, recipe.flip_test, recipe.test_scales, bar
    )
    soft = getattr(recipe, "soft_nms", False)
    score = official(experiment.test, experiment.predictions, experiment.root, soft)
    never_looks = _as_predictions(mean_pose(experiment.train, experiment.test))
    baseline = official(experiment.test, never_looks, experiment.root, soft)
    known = published(recipe.paper, recipe.dataset)
    table = comparison(score, baseline, known, run.label, run.is_sample)
    flips = "with" if recipe.flip_test else "without"
    protocol = (
        f"{score.protocol}; {recipe.eval_split} split, {flips} flip test, "
        f"{len(recipe.test_scales)} test scale{'s' * (len(recipe.test_scales) > 1)}"
    )
    run.table(table)
    run.update(
        protocol=f"{protocol}; generated sample data" if run.is_sample else protocol,
        metric=score.metric,
        split=recipe.eval_split,
        metrics=score.values,
        baseline={"mean_pose": baseline.mean},
        published={
            p["method"]: p[score.headline.lower()] for p in known if p["metric"] == score.metric
        },
        n_samples=score.n_people,
    )
    experiment.tables[f"{score.metric}, {run.label}"] = table
    return table


def _as_predictions(keypoints: np.ndarray) -> Predictions:
    return Predictions(keypoints, np.ones(keypoints.shape[:2]))


def evaluate_leniently(experiment: Experiment) -> "pd.DataFrame":
    """The same predictions under MobilePose-master's own metric, beside its published table."""
    recipe, test, run = experiment.recipe, experiment.test, experiment.run
    score = lenient(test, experiment.predictions.keypoints)
    baseline = lenient(test, mean_pose(experiment.train, test))
    known = published(recipe.paper, recipe.dataset)
    table = comparison(score, baseline, known, run.label, run.is_sample)
    experiment.tables[f"{score.metric} (lenient), {run.label}"] = table
    return table


def error_gallery(experiment: Experiment, columns: int = 6) -> Any:
    """A figure of the best, middling and worst test frames, prediction over dotted truth.

    Detections have no truth: the surest, middling and least sure ones are shown.
    """
    clips, found = experiment.test, experiment.predictions
    known = clips.visible.any()
    if known:
        distance = np.linalg.norm(found.keypoints - clips.keypoints, axis=-1)
        share = distance / clips.sides[clips.clip_of_row, None]
        seen = clips.visible.sum(1)
        badness = np.where(clips.visible, share, 0).sum(1) / seen.clip(1)
        order = np.flatnonzero(seen)[np.argsort(badness[seen > 0], kind="stable")]
    else:
        badness = -found.scores.mean(1)
        order = np.argsort(badness, kind="stable")
    middle = max(0, (len(order) - columns) // 2)
    rows = np.r_[order[:columns], order[middle : middle + columns], order[-columns:]].tolist()
    label = (lambda x: f"{100 * x:.1f} % of the crop") if known else (lambda x: f"score {-x:.2f}")
    figure = viz.skeleton_grid(
        [crop_of(clips, row) for row in rows],
        clips.to_crop(found.keypoints)[rows],
        clips.visible[rows],
        clips.skeleton,
        f"{'Best' if known else 'Surest'}, middling and worst frames: {experiment.run.label}",
        columns=min(columns, len(order)),
        labels=[label(badness[row]) for row in rows],
        others=clips.to_crop(clips.keypoints)[rows],
    )
    caption = "Predictions (lines) over the annotation (dotted): best, middling and worst frames."
    return experiment.run.figure("4-predictions", figure, caption)


def prediction_picture(experiment: Experiment, rows: list[int]) -> "Figure":
    """Test frames with the prediction (lines) over the annotation (dotted)."""
    clips, found = experiment.test, experiment.predictions.keypoints
    people = clips.people
    figure = viz.skeleton_grid(
        [crop_of(clips, row) for row in rows],
        clips.to_crop(found)[rows],
        clips.visible[rows],
        clips.skeleton,
        experiment.run.label,
        columns=len(rows),
        labels=[f"{people.sequence[row]:04d}, frame {people.frame[row]}" for row in rows],
        others=clips.to_crop(clips.keypoints)[rows],
    )
    return figure


def crop_of(clips: Clips, row: int) -> np.ndarray:
    """The crop (h, w, 3) that a row is scored in."""
    clip = clips.clip_of_row[row]
    frame = np.flatnonzero(clips.scored[clip] & (clips.rows[clip] == row))[0]
    return clips[0, int(clip)]["images"][frame].transpose(1, 2, 0)


@torch.inference_mode()
def heatmaps(experiment: Experiment, clip: int | None = None) -> Any:
    """A figure of heat maps, one column a joint.

    Rows are the stages of CPM about one image, the frames of a clip for LPM, and four people for a
    top-down network.

    Args:
        experiment: after `train`.
        clip: number of the test clip; the middle one by default.
    """
    clips, task = experiment.test, experiment.task
    clip = len(clips) // 2 if clip is None else clip
    task.model.eval()
    pose_machine = isinstance(task, PoseMachineTask)
    chosen = [clip] if pose_machine else np.linspace(0, len(clips) - 1, 4).astype(int)
    images = _batch(clips, chosen, experiment.machine)["images"]
    maps = task.outputs(images).float().cpu().numpy()
    frames = images.permute(0, 1, 3, 4, 2).cpu().numpy()
    if not pose_machine:
        maps, shown, rows = maps, frames[:, 0], [f"person {n + 1}" for n in range(len(maps))]
    elif images.shape[1] == 1:
        maps, shown = maps[0], [frames[0, 0]] * maps.shape[1]
        rows = [f"stage {n + 1}" for n in range(len(maps))]
    else:
        maps, first = maps[0], ["initial"] * (maps.shape[1] - images.shape[1])
        shown = [frames[0, 0]] * len(first) + list(frames[0])
        rows = first + [f"frame {n + 1}" for n in range(images.shape[1])]
    names = [*clips.skeleton.joints, "background"][: maps.shape[1]]
    title = f"Heat maps of the {experiment.recipe.eval_split} split: {experiment.run.label}"
    figure = viz.heatmap_grid(shown, maps, rows, names, title)
    what = rows[-1].split()[0]
    caption = f"Maps over the crop, one row a {what}, one column a joint."
    return experiment.run.figure("5-heatmaps", figure, caption)


def clip_gif(experiment: Experiment, longest: int = 24) -> Any:
    """An animated picture of a test sequence with the predicted skeleton."""
    clips, people = experiment.test, experiment.test.people
    sequences, counts = np.unique(people.sequence, return_counts=True)
    sequence = sequences[counts.argmax()]
    rows = np.flatnonzero(people.sequence == sequence)[:longest]
    sample = "generated sample, " if experiment.run.is_sample else ""
    data = viz.skeleton_gif(
        [people.read(row) for row in rows.tolist()],
        experiment.predictions.keypoints[rows],
        clips.skeleton,
        f"{sample}{people.dataset} {sequence:04d}: predicted",
    )
    caption = f"Test sequence {sequence:04d} of {experiment.run.label}, predicted frame by frame."
    return experiment.run.picture("6-clip.gif", data, caption)


def finish(experiment: Experiment) -> str:
    """Write the report, mark the run finished and rebuild the index.

    Returns:
        Where things are and the result in one line.
    """
    run, record = experiment.run, experiment.run.record
    record["status"] = "finished"
    path = write_report(run, experiment.tables, experiment.network, notebook_cells())
    run.end("finished")
    index = build_index()
    return (
        f"{record['model']} on {run.label}: {shown(headline(record))} {record['metric']} "
        f"(mean pose {shown(record['baseline']['mean_pose'])})\nreport {path}\nindex  {index}"
    )


def notebook_cells() -> list[str]:
    """The code cells of the notebook so far; empty outside one."""
    with contextlib.suppress(ImportError):
        from IPython import get_ipython

        if shell := get_ipython():
            return [cell for cell in shell.user_ns.get("In", []) if cell.strip()]
    return []
