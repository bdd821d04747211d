import numpy as np
import torch
from spots import CPU, SIZE, spot

from posekit.inference.estimator import number_equal_names
from posekit.inference.open_network import open_estimator


@torch.inference_mode()
def test_a_stream_gives_what_the_clip_gives_whoever_joins():
    estimator = open_estimator("lpm@random", CPU)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (3, *SIZE, 3), np.uint8)
    boxes = np.array([[10.0, 10, 90, 110], [40, 5, 150, 100]])
    states, streamed = {}, []
    for t, image in enumerate(images):
        numbers = [0] if t == 0 else [0, 1]  # the second person comes in frame 2
        estimate = estimator.estimate(image, boxes[numbers], [states.get(n) for n in numbers])
        states = dict(zip(numbers, estimate.states, strict=True))
        streamed.append(estimate)
    for person, first in ((0, 0), (1, 1)):
        crops = np.stack([estimate.crops[person] for estimate in streamed[first:]])
        inputs = torch.from_numpy(crops).permute(0, 3, 1, 2)[None]
        clip = estimator.task.heatmaps(inputs)[0, -1].numpy()
        assert np.allclose(streamed[-1].heatmaps[person], clip, atol=1e-5)
        alone = estimator.estimate(images[-1], boxes).heatmaps[person]
        assert not np.allclose(alone, clip, atol=1e-5)


def test_networks_of_one_name_are_numbered():
    estimators = [spot("a"), spot("b"), spot("a")]
    number_equal_names(estimators)
    assert [estimator.name for estimator in estimators] == ["a-1", "b", "a-2"]
