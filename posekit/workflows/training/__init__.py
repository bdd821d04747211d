"""The steps of a training notebook, in its order.

start, load, sample_grid, codec_check, build, first_loss, train, curves, evaluate,
evaluate_leniently, error_gallery, heatmaps, clip_gif, finish: each takes the experiment that
`start` returns and gives back what its cell shows.
"""

from .building import (
    build,
    first_loss,
    make_task,
    network_of,
    one_clip,
    recipe_of_network,
    shapes_only,
    try_shapes,
)
from .experiment import Experiment
from .fitting import curves, train
from .loading import crops_of, hold_out, load
from .opening import notebook_cells, open_run, start
from .pictures import (
    clip_gif,
    codec_check,
    crop_of,
    error_gallery,
    heatmaps,
    prediction_picture,
    sample_grid,
)
from .scoring import evaluate, evaluate_leniently, finish

__all__ = [
    "Experiment",
    "build",
    "clip_gif",
    "codec_check",
    "crop_of",
    "crops_of",
    "curves",
    "error_gallery",
    "evaluate",
    "evaluate_leniently",
    "finish",
    "first_loss",
    "heatmaps",
    "hold_out",
    "load",
    "make_task",
    "network_of",
    "notebook_cells",
    "one_clip",
    "recipe_of_network",
    "open_run",
    "prediction_picture",
    "sample_grid",
    "shapes_only",
    "start",
    "train",
    "try_shapes",
]
