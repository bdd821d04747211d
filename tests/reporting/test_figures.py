"""Figures as people see them: on any background, large enough, with epochs that are whole."""

import io

import numpy as np
from PIL import Image
from runs import config

from posekit.geometry.skeletons import skeleton
from posekit.reporting import figures
from posekit.reporting.run_folder import Run, encoded, png

COCO = skeleton("coco")


def test_figures_are_clear_and_twice_as_fine_as_they_are_shown():
    run = Run.open(config())
    records = [{"epoch": n, "loss": 1 / n, "val": 50.0, "lr": 0.1} for n in (1, 2, 3)]
    shown = run.figure("3-curves", figures.curves(records, "PCK", "Training"), "Curves.")
    image = Image.open(io.BytesIO(shown.data))
    assert image.width == 2 * shown.width == 2000 and image.getpixel((0, 0))[3] == 0


def test_epochs_are_whole_numbers():
    for count in (1, 3, 200):
        records = [{"epoch": n, "loss": 1.0, "val": 5.0, "lr": 0.1} for n in range(1, count + 1)]
        figure = figures.curves(records, "PCK", "Training")
        png(figure)
        ticks = np.concatenate([axes.get_xticks() for axes in figure.axes])
        assert len(ticks) and np.array_equal(ticks, ticks.round())


def test_many_joints_stand_in_blocks():
    images, maps = np.zeros((2, 48, 48, 3), np.uint8), np.zeros((2, 17, 6, 6))
    figure = figures.heatmap_grid(images, maps, ["a", "b"], COCO.joints, "Heat maps")
    names = [[text.get_text() for text in axes.get_xticklabels()] for axes in figure.axes]
    assert [len(block) for block in names] == [7, 7, 3]
    assert sum(names, []) == [joint.replace("_", " ") for joint in COCO.joints]
    assert figure.get_figwidth() / 7 > 1.4


def test_a_portrait_has_the_size_that_is_asked_for():
    image = np.full((60, 40, 3), [10, 20, 30], np.uint8)
    drawn = figures.portrait(image, np.full((17, 2), 20.0), COCO, side=120)
    assert drawn.shape == (120, 80, 3)
    again = np.asarray(Image.open(io.BytesIO(encoded(drawn))))
    assert np.array_equal(again, drawn)
