import numpy as np
from spots import scene

from posekit.inference.box_sources import GivenBoxes
from posekit.inference.media import Frame
from posekit.inference.tracker import Tracker


def test_people_keep_their_numbers_and_their_boxes_move():
    frame = Frame(1, "a", scene(50, 50))
    source = GivenBoxes(np.array([[10.0, 10, 40, 60], [80, 10, 120, 60]]))
    tracker = Tracker(source, follow=False)
    assert tracker.update(frame).ids.tolist() == [1, 2]
    source.boxes = source.boxes[::-1] + 2
    moved = tracker.update(frame)
    assert moved.ids.tolist() == [1, 2] and moved.boxes[0, 0] == 12
    source.boxes = np.array([[0.0, 80, 30, 110], [82, 12, 122, 62]])
    assert tracker.update(frame).ids.tolist() == [2, 3], "one went, one came"

    source.boxes = np.array([[10.0, 10, 40, 60]])
    tracker = Tracker(source, follow=True)
    tracker.update(frame)
    points = np.zeros((1, 17, 2)) + [100, 70]
    points[0, 0] = [120, 110]
    seen = np.ones((1, 17), bool)
    for _ in range(90):
        tracker.tracks = tracker.follow_poses(tracker.tracks, points, seen)
    assert np.allclose(tracker.update(frame).boxes, [[98, 66, 122, 114]], atol=0.1)
    for _ in range(30):
        tracker.tracks = tracker.follow_poses(tracker.tracks, points, ~seen)
    assert np.allclose(tracker.tracks.boxes, source.boxes, atol=0.1), "lost: back to the start"
