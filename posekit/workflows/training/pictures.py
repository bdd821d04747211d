"""Figures of what goes in, what is taught and what comes out."""

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ...data import Annotations
from ...data.clips import Clips
from ...files.writing import write_bytes
from ...inference.sampling import one_each, spread_rows
from ...models import cost
from ...reporting import figures
from ...reporting.run_folder import encoded, png
from ...train.hooks import Hook, TensorBoard
from .building import batch_of
from .experiment import Experiment

_DEBUGGED = 6  # people


def sample_grid(exp: Experiment, clips: int = 6) -> Any:
    """A figure of training clips as the network sees them, augmented, with their keypoints."""
    source = exp.train
    samples = [source[0, clip] for clip in spread_rows(len(source), clips).tolist()]
    frames = min(source.rows.shape[1], 3)
    shown = [(s, t) for t in range(frames) for s in samples]
    figure = figures.skeleton_grid(
        [sample["images"][t].transpose(1, 2, 0) for sample, t in shown],
        [sample["keypoints"][t] for sample, t in shown],
        [sample["visible"][t] for sample, t in shown],
        source.skeleton,
        f"Training {'clips, one a column' if frames > 1 else 'crops'}: {exp.run.label}",
        columns=len(samples),
    )
    caption = "Training crops after augmentation with their annotated joints"
    caption += "; frames go downwards." if frames > 1 else "."
    return exp.run.figure("1-samples", figure, caption)


def codec_check(exp: Experiment, clips: int = 4) -> Any:
    """Draw targets of test clips and read them back: the best that any network can do.

    Prints how far the joints read off perfect heat maps are from the truth; returns a figure.
    """
    source = exp.test if exp.test.visible.any() else exp.val  # detections have no truth
    settings, size = exp.settings, source.image_size
    model = settings.shapes_only(source.skeleton)
    task = settings.task(model, source.skeleton)
    cells = cost(model, *settings.one_clip(model.description)).output[-2:]
    batch = batch_of(source, spread_rows(len(source), 64), exp.machine)
    keypoints, visible = batch["keypoints"][:, :1], batch["visible"][:, :1]
    target, weights = task.targets(keypoints, visible, size, cells)
    joints = target[:, :, : len(source.skeleton)]
    found, _ = task.decode(joints, size)
    inside = (joints.amax((-2, -1)) > 0) & (weights[:, :, : len(source.skeleton)] > 0)
    error = (found - keypoints).norm(dim=-1)[visible & inside]
    print(
        f"targets read back: mean error {error.mean():.2f} px, worst {error.max():.2f} px, "
        f"in crops of {size[0]} x {size[1]} px with cells of {size[0] / cells[0]:.3g} px"
    )
    images = batch["images"][:clips, 0].permute(0, 2, 3, 1).cpu().numpy()
    what = "clip" if source.rows.shape[1] > 1 else "person"
    rows = [f"{what} {number}" for number in range(1, len(images) + 1)]
    names = [*source.skeleton.joints, "background"][: target.shape[2]]
    title = f"What the network is taught: {exp.run.label}"
    figure = figures.heatmap_grid(images, target[:clips, 0].cpu().numpy(), rows, names, title)
    return exp.run.figure("2-targets", figure, "Target heat maps over their crops.")


class DebugPictures(Hook):
    """The last batch of every so many epochs, in debug/ of the run folder and on TensorBoard.

    Crops with true joints above predicted ones, and target maps above predicted ones.
    """

    def __init__(self, exp: Experiment, board: TensorBoard | None) -> None:
        self.exp = exp
        self.board = board

    def on_step(self, step: int, batch: dict[str, Tensor], loss: Tensor) -> None:
        """Keep the batch."""
        self.batch = batch

    def on_epoch(self, record: dict[str, Any]) -> None:
        """Draw and write the pictures."""
        exp, batch, epoch = self.exp, self.batch, record["epoch"]
        if epoch % exp.settings.debug_every:
            return
        maps, found = self.trainer.look(batch)
        sizes = tuple(batch["images"].shape[-2:]), tuple(maps.shape[-2:])
        targets, _ = exp.task.targets(batch["keypoints"], batch["visible"], *sizes)
        columns = batch["images"], batch["visible"], batch["keypoints"], found, targets, maps
        columns = [column[:_DEBUGGED, 0].cpu().numpy() for column in columns]
        images, visible, truth, found, targets, maps = columns
        images, skeleton = images.transpose(0, 2, 3, 1), exp.train.skeleton
        title, people = f"Epoch {epoch}, true above predicted: {exp.run.label}", len(images)
        twice, poses = [*images, *images], [*truth, *found]
        both = np.stack([targets[:, : len(skeleton)], maps], 1).reshape(-1, *maps.shape[1:])
        rows = images.repeat(2, 0), both, ["target", "predicted"] * people
        joints = figures.skeleton_grid(twice, poses, [*visible] * 2, skeleton, title, people)
        grid = figures.heatmap_grid(*rows, skeleton.joints, title)
        for name, figure in (("joints", joints), ("maps", grid)):
            sample = "-sample" * exp.run.record.is_sample
            path = exp.run.folder / "debug" / f"epoch-{epoch:03d}-{name}{sample}.png"
            path.parent.mkdir(exist_ok=True)
            write_bytes(path, png(figure))
            if self.board:
                self.board.writer.add_figure(f"debug/{name}", figure, epoch)


def error_gallery(exp: Experiment, columns: int = 6) -> Any:
    """A figure of the best, middling and worst test frames, prediction over dotted truth.

    Detections have no truth: the surest, middling and least sure ones are shown.
    """
    clips, found = exp.test, exp.predictions
    known = clips.visible.any()
    if known:
        errors, seen = errors_of(clips, found.keypoints), clips.visible.any(1)
        order = np.flatnonzero(seen)[np.argsort(errors[seen], kind="stable")]
        labels = [f"{100 * x:.1f} % of the crop" for x in errors]
    else:
        order = np.argsort(-found.scores.mean(1), kind="stable")
        labels = [f"score {score:.2f}" for score in found.scores.mean(1)]
    order, most = one_each(order, clips.people.group), columns
    columns = min(columns, -(-len(order) // 3))
    middle = max(columns, (len(order) - columns) // 2)
    rows = np.r_[order[:columns], order[middle : middle + columns], order[-columns:]]
    rows = list(dict.fromkeys(rows.tolist()))
    kinds = ("best" if known else "surest"), ("worst" if known else "least sure")
    for kind, file, row in zip(kinds, ("best", "worst"), (rows[0], rows[-1]), strict=True):
        joints = clips.to_crop(exp.predictions.keypoints)[row]
        picture = encoded(figures.portrait(crop_of(clips, row), joints, clips.skeleton))
        exp.run.picture(f"0-{file}.png", picture, f"The {kind} prediction, {labels[row]}.")
    title = f"{kinds[0].capitalize()}, middling and {kinds[1]} people: {exp.run.label}"
    columns = max(columns, min(most, len(rows)))
    figure = _predicted(exp, rows, title, columns, [labels[row] for row in rows])
    caption = (
        f"Predictions (lines) over the annotation (dotted): {kinds[0]}, middling and {kinds[1]} "
        "people, each of another image or video."
    )
    return exp.run.figure("4-predictions", figure, caption)


def errors_of(clips: Clips, keypoints: np.ndarray) -> np.ndarray:
    """The mean distance of each person's annotated joints (N,), as a share of the crop's side.

    Args:
        clips: N rows.
        keypoints: (N, K, 2) image pixels, predicted.

    Returns:
        0 for people without an annotated joint.
    """
    distance = np.linalg.norm(keypoints - clips.keypoints, axis=-1)
    share = distance / clips.sides[clips.clip_of_row, None]
    return np.where(clips.visible, share, 0).sum(1) / clips.visible.sum(1).clip(1)


def name_of(people: Annotations, row: int) -> str:
    """The video and frame of a row, or its image."""
    sequence = f"{people.sequence[row]:04d}"
    return f"{sequence}, frame {people.frame[row]}"


def prediction_picture(exp: Experiment, rows: list[int]) -> Figure:
    """Test frames with the prediction (lines) over the annotation (dotted)."""
    people = exp.test.people
    labels = [name_of(people, row) for row in rows]
    return _predicted(exp, rows, exp.run.label, len(rows), labels)


def _predicted(
    exp: Experiment, rows: list[int], title: str, columns: int, labels: list[str]
) -> Figure:
    clips = exp.test
    return figures.skeleton_grid(
        [crop_of(clips, row) for row in rows],
        clips.to_crop(exp.predictions.keypoints)[rows],
        clips.visible[rows],
        clips.skeleton,
        title,
        columns,
        labels,
        others=clips.to_crop(clips.keypoints)[rows],
    )


def crop_of(clips: Clips, row: int) -> np.ndarray:
    """The crop (h, w, 3) that a row is scored in."""
    clip, frame = place_of(clips, row)
    return clips[0, clip]["images"][frame].transpose(1, 2, 0)


def place_of(clips: Clips, row: int) -> tuple[int, int]:
    """The clip, and its frame, in which a row is scored."""
    clip = int(clips.clip_of_row[row])
    return clip, int(np.flatnonzero(clips.scored[clip] & (clips.rows[clip] == row))[0])


@torch.inference_mode()
def heatmaps(exp: Experiment, clip: int | None = None) -> Any:
    """A figure of heat maps, one column a joint.

    Rows are the stages of CPM about one image, the frames of a clip for LPM, and four people for a
    top-down network.

    Args:
        exp: after `train`.
        clip: number of the test clip, cut as in training; the middle one by default.
    """
    clips, task = replace(exp.test, frames=exp.settings.clip_length(exp.about)), exp.task
    clip = len(clips) // 2 if clip is None else clip
    task.model.eval()
    pose_machine = exp.about.family == "pose_machine"
    chosen = [clip] if pose_machine else spread_rows(len(clips), 4)
    images = batch_of(clips, chosen, exp.machine)["images"]
    maps = task.outputs(images).float().cpu().numpy()
    frames = images.permute(0, 1, 3, 4, 2).cpu().numpy()
    shown, what, first = list(frames[:, 0]), "person", 0
    if pose_machine:
        maps, n_frames = maps[0], images.shape[1]
        before = len(maps) - n_frames  # stages before the last ones are of the first frame
        shown = [frames[0, 0]] * before + list(frames[0])
        what, first = ("stage", 0) if n_frames == 1 else ("frame", before)
    rows = ["initial"] * first + [f"{what} {n + 1}" for n in range(len(maps) - first)]
    names = [*clips.skeleton.joints, "background"][: maps.shape[1]]
    title = f"Heat maps of the {exp.settings.eval_split} split: {exp.run.label}"
    figure = figures.heatmap_grid(shown, maps, rows, names, title)
    caption = f"Maps over the crop, one row a {what}, one column a joint."
    return exp.run.figure("5-heatmaps", figure, caption)


def clip_gif(exp: Experiment, longest: int = 24) -> Any:
    """An animated picture of a test sequence with the predicted skeleton."""
    clips, people = exp.test, exp.test.people
    sequences, counts = np.unique(people.sequence, return_counts=True)
    sequence = sequences[counts.argmax()]
    rows = np.flatnonzero(people.sequence == sequence)[:longest]
    found = exp.predictions.keypoints
    images = [figures.portrait(people.read(n), found[n], clips.skeleton, 320) for n in rows]
    label = "generated sample, " * exp.run.record.is_sample
    label += f"{people.dataset} {sequence:04d}: predicted"
    for image in images:
        cv2.putText(image, label, (6, len(image) - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.42, [255] * 3)
    caption = f"Test sequence {sequence:04d} of {exp.run.label}, predicted frame by frame."
    return exp.run.picture("6-clip.gif", figures.gif(images, 0.2), caption)
