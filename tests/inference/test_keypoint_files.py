import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from spots import poses, spot, tracks

import posekit
from posekit.data import load
from posekit.data.sample import ensure_sample
from posekit.inference.keypoint_files import write_keypoints
from posekit.inference.media import Frame


def test_keypoint_files_are_coco_results(tmp_path):
    root = ensure_sample("COCO", tmp_path / "data", smoke=True)
    truth = load("COCO", "test", root, source="sample")
    images = [int(Path(name).stem) for name in truth.image.tolist()]
    files = [tmp_path / "points.json", tmp_path / "points.csv"]
    with write_keypoints(tmp_path, "points", spot()) as writer:
        for image in dict.fromkeys(images):
            rows = [row for row, i in enumerate(images) if i == image]
            people = tracks([*range(len(rows))], [1.0] * len(rows))
            found = poses(truth.keypoints[rows], np.full((len(rows), 17), 0.9))
            writer.add(Frame(image, 'a "name"', None), people, found)
        nobody = poses(np.empty((0, 17, 2)), np.empty((0, 17)))
        writer.add(Frame(10**6, "nobody", None), tracks([], []), nobody)
        assert not any(file.exists() for file in files)
    assert posekit.score("COCO", files[0], root=root).mean > 0.999
    table = pd.read_csv(files[1])
    assert set(table.image) == {'a "name"'} and table.score.unique() == [0.9]
    points = table[["x", "y"]].to_numpy().reshape(-1, 17, 2)
    assert np.allclose(points, truth.keypoints, atol=0.01)
    twice = tracks([1, 2], [100.0, 100.0])
    same = poses(truth.keypoints[[0, 0]], np.array([[0.5], [0.9]]) * np.ones(17))
    with write_keypoints(tmp_path, "twice", spot()) as writer:
        writer.add(Frame(7, "twice", None), twice, same)
    [kept] = json.loads((tmp_path / "twice.json").read_text(encoding="utf-8"))
    assert kept["score"] == pytest.approx(0.9), "of two who are all but the same the better one"
    assert set(pd.read_csv(tmp_path / "twice.csv").person) == {1, 2}
    with pytest.raises(RuntimeError), write_keypoints(tmp_path, "points", spot()) as writer:
        writer.add(Frame(1, "half", None), people, found)
        raise RuntimeError
    assert json.loads(files[0].read_text(encoding="utf-8"))[0]["category_id"] == 1
    assert not list(tmp_path.glob(".*"))
