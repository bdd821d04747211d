from pathlib import Path

import cv2
import pytest
from spots import SIZE, scene


@pytest.fixture
def video(tmp_path) -> Path:
    path = tmp_path / "jump.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 20, SIZE[::-1])
    for t in range(24):
        writer.write(scene(20 + 4 * t, 40)[..., ::-1])
    writer.release()
    return path
