"""What the demo notebook shows: frames with skeletons, heat maps, tables, the page of results."""

import json

import numpy as np
import pandas as pd
from IPython.display import Image

from ...reporting import figures, pages
from ...reporting.run_folder import encoded
from .setup import HEATMAPS, SHEET, Demo

_MIN_GIF_STEP, _MAX_GIF_LENGTH = 0.02, 655.0  # seconds of a GIF's frame, of all of them


def poses(demo: Demo) -> Image:
    """A figure of some frames with the skeletons of every network."""
    names, images = zip(*demo.poses.spread(SHEET), strict=True)
    columns = 1 if len(images) == 1 else 2 if len(demo.estimators) > 1 else 4
    demo.results.picture("0-best.png", encoded(images[0]), f"Poses in {names[0]}.")
    figure = figures.picture_grid(images, names, f"Poses: {demo.label}", columns)
    caption = (
        f"Frames with the joints that score at least {demo.settings.threshold:g}: right side "
        "vermilion, left side blue; number and mean score of each person."
    )
    return demo.results.figure("1-poses", figure, caption)


def animation(demo: Demo) -> Image | str:
    """The video with its skeletons as a GIF of a bounded number of frames."""
    if not demo.media.is_video:
        return "separate images: there is nothing to animate"
    step, count = demo.gif.step, len(demo.gif.items)
    seconds = step / demo.media.fps
    shown = min(max(seconds, _MIN_GIF_STEP), _MAX_GIF_LENGTH / count)
    every = "all frames" if step == 1 else f"every {step}th frame, {count} in all"
    every += f", at {seconds / shown:.2g} times its speed" * (shown != seconds)
    content = figures.gif(demo.gif.items, shown)
    return demo.results.picture("2-video.gif", content, f"The video with its skeletons, {every}.")


def heatmaps(demo: Demo, network: int = 0) -> Image | str:
    """A figure of the heat maps of some people over the network's crops of them.

    Args:
        demo: after `frames.process`.
        network: 0 for the first one, 1 for the second.
    """
    if network >= len(demo.estimators):
        return "there is no second network"
    estimator, items = demo.estimators[network], demo.heatmaps[network].spread(HEATMAPS)
    if not items:
        return "no people: there are no heat maps"
    names, crops, maps = zip(*items, strict=True)
    title = f"Heat maps of {estimator.name}: {demo.label}"
    figure = figures.heatmap_grid(crops, np.stack(maps), names, estimator.skeleton.joints, title)
    caption = "Heat maps over the crops that the network saw, one row a person, one column a joint."
    return demo.results.figure(f"3-heatmaps-{estimator.name}", figure, caption)


def scores(demo: Demo) -> pd.DataFrame:
    """The scores of each joint, of every network."""
    pairs = zip(demo.estimators, demo.scores, strict=True)
    tables = {estimator.name: statistics.table() for estimator, statistics in pairs}
    return pd.concat(tables, names=["network", None]).reset_index("network").reset_index(drop=True)


def jitter(demo: Demo) -> pd.DataFrame | str:
    """How much the joints of each network move from frame to frame without need."""
    if not demo.media.is_video:
        return "separate images: there is no motion to measure"
    return demo.jitter.table([estimator.name for estimator in demo.estimators])


def finish(demo: Demo) -> str:
    """Write report.html, one page without outside resources; where the results are, as text."""
    path = pages.write_results(
        demo.results,
        "demo.html",
        title=f"Poses on {demo.label}",
        demo=demo,
        trained=all(estimator.trained for estimator in demo.estimators),
        tables={"Networks": demo.speed, "Jitter": jitter(demo), "Scores": scores(demo)},
        parameters=json.dumps(demo.results.record.parameters, indent=1),
    )
    files = pages.files_of(demo.results)
    demo.results.update(status="finished", files=files)
    lines = [f"note: {note}" for note in demo.media.notes]
    lines += [f"results {demo.results.folder}", f"files   {', '.join(files)}", f"report  {path}"]
    return "\n".join(lines)
