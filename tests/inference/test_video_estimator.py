import numpy as np
from spots import SIZE, scene, spot

from posekit.inference.box_sources import WholeFrame
from posekit.inference.estimator import PoseEstimator
from posekit.inference.media import Frame
from posekit.inference.video_estimator import VideoEstimator


def test_the_search_ends_when_somebody_is_found(monkeypatch):
    counted, estimate = [], PoseEstimator.estimate
    monkeypatch.setattr(PoseEstimator, "estimate", lambda *a: counted.append(1) or estimate(*a))
    video = VideoEstimator([spot()], WholeFrame(), follow=True, threshold=0.2, is_video=True)
    total = []
    for image in (np.zeros((*SIZE, 3), np.uint8), scene(50, 40), scene(54, 40)):
        _, estimates = video.process(Frame(1, "a", image))
        total.append(len(counted))
    assert total == [3, 6, 7], "parts, the best one, closer; then one estimate a frame"
    assert np.allclose(estimates[0].keypoints[0, 0], [54, 40], atol=3)
