import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from spots import folder_of, scene

from posekit.errors import PosekitError
from posekit.inference.media import Frame, Media, open_media, write_video


def test_images_come_in_the_order_of_their_numbers(tmp_path):
    folder = folder_of(tmp_path / "some", **{str(n): n for n in range(1, 13)})
    for sequence in (False, True):
        frames = list(open_media(folder, sequence).frames())
        assert [(f.number, f.name) for f in frames] == [(n, f"{n}.png") for n in range(1, 13)]
    folder_of(tmp_path / "more", b10=1, b9=1, **{"11": 1})
    assert [f.name for f in open_media(tmp_path / "more").frames()] == [
        "11.png",
        "b10.png",
        "b9.png",
    ]


@pytest.mark.parametrize(("limit", "said"), [(None, True), (6, True), (4, False), (3, False)])
def test_frames_that_a_video_lacks_are_noted(limit, said):
    frames = [Frame(n, f"{n}", scene(50, 40)) for n in range(4)]
    media = Media(Path("cut.mp4"), True, 10, 25.0, lambda: iter(frames))
    assert len(list(media.frames(limit))) == min(4, limit or 4)
    assert media.notes == ["the file promises 10 frames, 4 could be read"] * said
    unknown = Media(Path("cut.mp4"), True, None, 25.0, lambda: iter(frames))
    assert len(list(unknown.frames(limit))) and not unknown.notes


def test_a_rate_that_is_missing_is_called_assumed(video, monkeypatch):
    class Silent:
        isOpened, release = (lambda self: True), (lambda self: None)  # noqa: N815

        def get(self, what):
            return float("nan") if what == cv2.CAP_PROP_FPS else 24.0

    assert not open_media(video).notes
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: Silent())
    media = open_media(video)
    assert (media.fps, media.count) == (25, 24)
    assert media.notes == ["the file does not give its frame rate: 25 a second are assumed"]


def test_videos_of_odd_names(tmp_path, video):
    odd = video.rename(tmp_path / os.fsdecode(b"\xff.mp4"))
    assert next(open_media(odd).frames()).name == "\\udcff frame 1"


def test_what_may_not_be_read_is_refused(tmp_path, video, monkeypatch):
    folder = folder_of(tmp_path / "some", a=30)
    with pytest.raises(PosekitError, match=r"cannot be opened \(File name too long\)"):
        open_media("a" * 300)

    def closed(*_):
        raise PermissionError(13, "Permission denied")

    for name in ("open", "iterdir", "is_dir"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, name, closed)
            for path in [folder] if name == "iterdir" else [folder / "a.png", video]:
                with pytest.raises(PosekitError, match=rf"{path} cannot be .*Permission denied"):
                    open_media(path)


def test_an_mp4_appears_whole_or_not_at_all(tmp_path):
    path, image = tmp_path / "a.mp4", np.zeros((33, 41, 3), np.uint8)
    with pytest.raises(RuntimeError), write_video(path, 10) as add:
        add(image)
        raise RuntimeError
    assert not path.exists()
    with write_video(path, 10) as add:
        for _ in range(3):
            add(image)
        assert not path.exists()
    assert [f.size for f in open_media(path).frames()] == [(32, 40)] * 3
    assert len(list(tmp_path.glob(".*"))) == 0


def test_a_home_that_does_not_exist_is_no_folder():
    with pytest.raises(PosekitError, match="there is no such"):
        open_media("~nosuchuser/x")
