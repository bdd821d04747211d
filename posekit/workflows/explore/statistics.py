"""What a data set holds, as a figure and a table: poses, sizes, visibility of joints."""

import numpy as np
import pandas as pd
from IPython.display import Image
from matplotlib import rc_context
from matplotlib.ticker import LogLocator, NullLocator

from ...geometry.crops import keypoint_box
from ...reporting import figures
from .setup import Exploration


def table(exp: Exploration) -> pd.DataFrame:
    """One row a joint: how often it is annotated and hidden, where it is in the box, how spread."""
    people = exp.people
    places = _in_box(exp)
    count = people.visible.sum(0).clip(1)
    hidden = (people.occluded & people.visible).sum(0)
    columns = {
        "joint": people.skeleton.words,
        "annotated, %": 100 * people.visible.mean(0),
        "of these hidden, %": 100 * hidden / count,
        "x in the box, %": 100 * np.nansum(places[..., 0], 0) / count,
        "y in the box, %": 100 * np.nansum(places[..., 1], 0) / count,
    }
    found = pd.DataFrame(columns).round(1)
    return exp.run.keep("Joints", found, "table")


@rc_context(figures.STYLE)
def figure(exp: Exploration) -> Image:
    """Where joints are, how large people are, how much of them is annotated."""
    people, size = exp.people, (13, 4.2)
    drawn, (poses, sizes, joints, counts) = figures.panels(f"Statistics: {exp.run.label}", size, 4)
    places = _in_box(exp)[np.random.default_rng(0).permutation(len(people))[:1000]]
    for number, name in enumerate(people.skeleton.joints):
        x, y = places[:, number].T
        colour = figures.side_colour(people.skeleton, name)
        poses.scatter(x, y, s=4, alpha=0.5, color=colour, linewidths=0)
    poses.set(xlim=(-0.1, 1.1), ylim=(1.1, -0.1), title="joints in the box", aspect="equal")
    height = (people.boxes[:, 2:] - people.boxes[:, :2]).max(1).clip(1)
    sizes.hist(height, bins=np.geomspace(height.min(), height.max() + 1, 30), color="#0072b2")
    sizes.set(xscale="log", xlabel="longer side of the box, px", title="people by size")
    sizes.xaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), minor_locator=NullLocator())
    sizes.xaxis.set_major_formatter("{x:g}")
    names = people.skeleton.words
    annotated, hidden = people.visible.mean(0), (people.visible & people.occluded).mean(0)
    joints.barh(names, 100 * annotated, color="#0072b2")
    joints.barh(names, 100 * hidden, color="#d55e00")
    joints.set(xlim=(0, 100), xlabel="% of the people", title="annotated, red: hidden")
    joints.tick_params(axis="y", labelsize=7)
    joints.invert_yaxis()
    counts.hist(people.visible.sum(1), bins=np.arange(len(names) + 2) - 0.5, color="#0072b2")
    counts.set(xlabel="annotated joints", title="people by joints")
    caption = "Joints in the box: right vermilion, left blue, at most 1,000 people."
    return exp.run.figure("5-statistics", drawn, caption)


def _in_box(exp: Exploration) -> np.ndarray:
    """Joints (N, K, 2) as shares of the box around the annotated ones, NaN for the others."""
    people = exp.people
    boxes = keypoint_box(people.keypoints, people.visible)[:, None]
    places = (people.keypoints - boxes[..., :2]) / (boxes[..., 2:] - boxes[..., :2]).clip(1)
    return np.where(people.visible[..., None], places, np.nan)
