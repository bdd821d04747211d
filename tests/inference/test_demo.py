import ast
import json
import os
import weakref
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

import posekit
from posekit.config.resolve import resolve
from posekit.data import load
from posekit.data.framing import Framing
from posekit.data.sample import ensure_sample
from posekit.errors import PosekitError
from posekit.geometry.skeletons import COCO, POSE_MACHINE
from posekit.inference import box_sources
from posekit.inference.box_sources import GivenBoxes, WholeFrame
from posekit.inference.coco_boxes import CocoBoxes
from posekit.inference.estimator import Estimator, PoseEstimate, number_equal_names
from posekit.inference.keypoint_files import write_keypoints
from posekit.inference.media import Frame, Media, VideoWriter, open_media
from posekit.inference.open_network import open_estimator
from posekit.inference.pose_statistics import Jitter
from posekit.inference.sampling import EvenSample, spread_rows
from posekit.inference.tracker import Tracker, Tracks
from posekit.inference.video_estimator import VideoEstimator
from posekit.models import Description, create_model
from posekit.models.families.top_down import TopDownTask
from posekit.reporting import figures, run_folder
from posekit.weights import save_weights
from posekit.workflows.demo import frames, setup, show
from posekit.workflows.demo.setup import Demo, DemoSettings

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "demo.ipynb"
CPU = torch.device("cpu")
SIZE = (120, 160)  # h, w of the test media


class Spots(torch.nn.Module):
    """Finds three spots, red, green and blue, each as every third of 17 joints."""

    description = Description("spots", "", "coco", 17, mean=(0.0,) * 3, std=(255.0,) * 3)

    def forward(self, images):
        return F.avg_pool2d(images, 5, 4, 2)[:, np.arange(17) % 3]  # about pixels 0, 4, 8, ...


def spot(name: str = "spot") -> Estimator:
    framing = Framing((64, 48), 1.25, half_pixel=False, fill=0)
    task = TopDownTask(Spots().eval(), COCO, 2.0)
    return Estimator(name, "finds three spots", True, task, COCO, framing, CPU)


def scene(x: int, y: int) -> np.ndarray:
    """A red spot at (x, y), a green one to its right, a blue one below; RGB."""
    picture = np.zeros((*SIZE, 3), np.uint8)
    for shift, colour in (((0, 0), 0), ((28, 4), 1), ((10, 44), 2)):
        place = x + shift[0], y + shift[1]
        cv2.circle(picture, place, 5, [255 * (channel == colour) for channel in range(3)], -1)
    return picture


@pytest.fixture(autouse=True)
def reports(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("POSEKIT_REPORTS", str(tmp_path / "reports"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "reports"


@pytest.fixture
def spots(monkeypatch):
    monkeypatch.setattr(setup, "open_estimator", lambda name, *_, **__: spot(name))


@pytest.fixture
def video(tmp_path) -> Path:
    path = tmp_path / "jump.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 20, SIZE[::-1])
    for t in range(24):
        writer.write(scene(20 + 4 * t, 40)[..., ::-1])
    writer.release()
    return path


def run(**settings) -> Demo:
    """All cells of the notebook."""
    demo = setup.start(settings)
    demo.text()
    setup.open_networks(demo)
    frames.process(demo)
    for step in (show.poses, show.animation, show.heatmaps, show.scores, show.jitter):
        step(demo)
    show.finish(demo)
    return demo


def refusal(**settings) -> str:
    with pytest.raises(PosekitError) as caught:
        run(**settings)
    return str(caught.value)


def test_parameters_cell_declares_the_settings():
    book = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    source = next("".join(c["source"]) for c in book["cells"] if c["cell_type"] == "code")
    found = {n.target.id: ast.literal_eval(n.value) for n in ast.parse(source).body}
    assert found == DemoSettings().model_dump()
    assert all(field.description in source for field in DemoSettings.model_fields.values())


def test_a_video_is_followed_and_written(video, spots):
    demo = run(input=str(video), network="spot", beside="other", gif_frames=6, threshold=0.05)
    table = pd.read_csv(demo.folder / "keypoints-spot.csv")
    assert len(table) == 24 * 17 and table.frame.max() == 24
    nose = table[table.joint == "nose"]
    assert np.allclose(nose.x, 20 + 4 * np.arange(24), atol=3) and np.allclose(nose.y, 40, atol=3)
    ear = table[table.joint == "right_eye"]  # the third joint: the blue spot
    assert np.allclose(ear.x, nose.x + 10, atol=4) and np.allclose(ear.y, 84, atol=3)
    found = json.loads((demo.folder / "keypoints-other.json").read_text(encoding="utf-8"))
    assert [r["image_id"] for r in found] == list(range(1, 25))
    assert found[3]["keypoints"][:2] == pytest.approx([32, 40], abs=3)

    written = open_media(demo.folder / "poses.mp4")
    frames = list(written.frames())
    assert written.fps == 20 and len(frames) == 24
    assert frames[0].size[1] > 2 * frames[0].size[0], "two panels"
    assert 3 <= len(demo.gif.items) <= 6
    assert show.jitter(demo)["joints counted"].tolist() == [22 * 17] * 2
    assert show.scores(demo)["mean score"].min() > 0.5
    record = json.loads((demo.folder / "demo.json").read_text(encoding="utf-8"))
    assert (record["status"], record["frames"], record["people"]) == ("finished", 24, [24, 24])
    page = (demo.folder / "report.html").read_text(encoding="utf-8")
    assert "data:image/gif" in page and "://" not in page and 'href="./poses.mp4"' in page
    assert not [p for p in demo.folder.rglob(".*")], "nothing half-written"


def test_pictures_keep_their_numbers_and_given_boxes(tmp_path, spots):
    folder = tmp_path / "some"
    folder.mkdir()
    for number, x in ((7, 50), (12, 70)):
        cv2.imwrite(str(folder / f"{number:012d}.png"), scene(x, 40)[..., ::-1])
    demo = run(input=str(folder), network="spot", boxes="[20, 20, 120, 110]")
    table = pd.read_csv(demo.folder / "keypoints-spot.csv").query("joint == 'nose'")
    assert table.frame.tolist() == [7, 12] and np.allclose(table.x, [50, 70], atol=3)
    drawn = sorted(p.name for p in (demo.folder / "pictures").iterdir())
    assert drawn == ["000000000007.png.jpg", "000000000012.png.jpg"]
    assert "there is no motion" in show.jitter(demo)
    one = run(input=str(folder / "000000000007.png"), network="spot", boxes="whole")
    assert pd.read_csv(one.folder / "keypoints-spot.csv").x[0] == pytest.approx(50, abs=3)
    assert run(input=str(folder), sequence=True, network="spot").media.is_video


def folder_of(path: Path, **spots: int) -> Path:
    """Pictures NAME.png with the red spot at (x, 40)."""
    path.mkdir()
    for name, x in spots.items():
        cv2.imwrite(str(path / f"{name}.png"), scene(x, 40)[..., ::-1])
    return path


def written(path: Path, content: object) -> str:
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)


def box(image: int, x: int) -> dict:
    """A record with a box about the spots of `scene(x, 40)`."""
    return {"image_id": image, "bbox": [x - 15, 25, 60, 75], "category_id": 1, "score": 0.5}


def noses(demo: Demo) -> dict[tuple[str, int], float]:
    """Picture and its number -> x."""
    table = pd.read_csv(next(demo.folder.glob("keypoints-*.csv"))).query("joint == 'nose'")
    return {(row.image, row.frame): row.x for row in table.itertuples()}


def test_boxes_go_to_the_pictures_that_their_file_names(tmp_path, spots):
    folder = folder_of(tmp_path / "some", a=30, b=60, c=120)
    images = [{"id": 70, "file_name": "val/b.png"}, {"id": 3, "file_name": r"val\c.png"}]
    truth = {"images": images, "annotations": [box(70, 60), box(3, 120), box(1, 30), box(71, 30)]}
    boxes = written(tmp_path / "boxes.json", truth)
    for sequence in (False, True):
        demo = run(input=str(folder), sequence=sequence, network="spot", boxes=boxes)
        found = noses(demo)
        assert list(found) == [("b.png", 70), ("c.png", 3)], "a.png is not listed"
        assert list(found.values()) == pytest.approx([60, 120], abs=3)
        numbers = pd.read_csv(demo.folder / "keypoints-spot.csv").person
        assert set(numbers) == ({1, 2} if sequence else {1}), "separate images know no other"
        assert "1 of 3 images have no people: boxes.json does not list them" in demo.text()
        results = json.loads((demo.folder / "keypoints-spot.json").read_text(encoding="utf-8"))
        assert [r["image_id"] for r in results] == [70, 3]
    known = {"input": str(folder), "network": "spot", "boxes": boxes}
    for image in ({"id": 4, "file_name": "test/b.png"}, {"id": 70, "file_name": "c.png"}):
        written(tmp_path / "boxes.json", {**truth, "images": [images[0], image]})
        assert "two images by the name or the id of one image" in refusal(**known)
    written(tmp_path / "boxes.json", {**truth, "images": [{"id": "b", "file_name": "b.png"}]})
    assert "boxes.json: image 0 has no field id" in refusal(**known)


def test_boxes_that_name_no_picture_are_refused(tmp_path, spots):
    names, numbers = folder_of(tmp_path / "a", b=30, c=60), folder_of(tmp_path / "b", **{"9": 30})
    boxes = written(tmp_path / "boxes.json", [box(9, 30), box(2, 60)])
    for path in (names, names / "b.png"):
        assert "boxes.json does not say which of its images is b.png" in refusal(
            input=str(path), network="spot", boxes=boxes
        )
    assert list(noses(run(input=str(numbers), network="spot", boxes=boxes))) == [("9.png", 9)]
    written(tmp_path / "boxes.json", [box(9, 60), box(9, 60)])
    one = run(input=str(names / "c.png"), network="spot", boxes=boxes)
    assert noses(one) == {("c.png", 9): pytest.approx(60, abs=3)}
    assert "does not say" in refusal(input=str(names), network="spot", boxes=boxes)


def test_pictures_come_in_the_order_of_their_numbers(tmp_path):
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
    media = Media(Path("torn.mp4"), True, 10, 25.0, lambda: iter(frames))
    assert len(list(media.frames(limit))) == min(4, limit or 4)
    assert media.notes == ["the file promises 10 frames, 4 could be read"] * said
    unknown = Media(Path("torn.mp4"), True, None, 25.0, lambda: iter(frames))
    assert len(list(unknown.frames(limit))) and not unknown.notes


@pytest.mark.parametrize(
    ("rate", "kept", "shown", "speed"),
    [
        (0.5, 0.5, 0.5, ""),
        (23.976, 23.976, 23.976, ""),
        (240.123, 240.12, 240.123, ", at 0.21 times its speed"),
        (480, 480, 480, ", at 0.1 times its speed"),
        (5000, 600, 5000, ", at 0.01 times its speed"),
        (0.001, 0.01, 0.001, ", at 4.6 times its speed"),
    ],
)
def test_rates_are_kept_and_writers_told_what_they_can_do(
    tmp_path, spots, monkeypatch, rate, kept, shown, speed
):
    frames = [Frame(n, f"{n}", scene(50 + n, 40)) for n in range(1, 4)]
    media = Media(tmp_path / "a.mp4", True, 3, rate, lambda: iter(frames))
    monkeypatch.setattr(setup, "open_media", lambda *_: media)
    demo = run(input="a.mp4", network="spot")
    assert f"frames of a video at {shown:g} a second" in demo.text()
    assert open_media(demo.folder / "poses.mp4").fps == pytest.approx(kept, abs=1e-3)
    note = f"poses.mp4 shows {kept:g} frames a second, not {rate:g}"
    assert media.notes == [note] * (kept in (600, 0.01))
    assert demo.figures["2-video.gif"] == f"The video with its skeletons, all frames{speed}."


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


def test_a_diverged_network_leaves_whole_files(video, monkeypatch):
    def broken(name, *_, **__):
        made = spot(name)
        made.task.model.register_forward_hook(lambda model, images, maps: maps * torch.nan)
        return made

    monkeypatch.setattr(setup, "open_estimator", broken)
    for settings in ({}, {"boxes": "10 10 90 110"}):
        demo = run(input=str(video), network="spot", max_frames=4, **settings)
        text = (demo.folder / "keypoints-spot.json").read_text(encoding="utf-8")
        found = json.loads(text, parse_constant=pytest.fail)
        assert len(found) == 4 and not any(found[0]["keypoints"]) and found[0]["score"] == 0
        assert demo.media.notes == [
            "spot: 68 joints are not finite, 0 in the json: has the network diverged?"
        ]
        assert pd.read_csv(demo.folder / "keypoints-spot.csv").score.isna().all()
    figures.paint_skeleton(scene(9, 9), np.full((17, 2), np.nan), np.zeros(17, bool), COCO)


def test_odd_names_of_pictures(tmp_path, spots):
    folder = tmp_path / os.fsdecode(b"some \xff")
    names = ["a.png", "a.png.jpg", "$x_$.png", "ä" * 125 + ".png", "ä" * 124 + "b.png"]
    names += [os.fsdecode(b"b\xff.png"), os.fsdecode(b"b\xfe.png")]
    folder.mkdir()
    for n, name in enumerate(sorted(names)):
        (folder / name).write_bytes(cv2.imencode(Path(name).suffix, scene(30 + 9 * n, 40))[1])
    demo = run(input=str(folder), network="spot")
    assert "some \\udcff: 7 images" in demo.text()
    pictures = sorted(path.name for path in (demo.folder / "pictures").iterdir())
    assert len(pictures) == len(noses(demo)) == 7
    assert pictures[:3] == ["$x_$.png.jpg", "a.png.jpg", "a.png.jpg.jpg"]


def test_videos_of_odd_names(tmp_path, video):
    odd = video.rename(tmp_path / os.fsdecode(b"\xff.mp4"))
    assert next(open_media(odd).frames()).name == "\\udcff frame 1"


def test_what_may_not_be_read_is_refused(tmp_path, video, monkeypatch):
    folder = folder_of(tmp_path / "some", a=30)
    assert "cannot be opened (File name too long)" in refusal(input="a" * 300)

    def closed(*_):
        raise PermissionError(13, "Permission denied")

    for name in ("open", "iterdir", "is_dir"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, name, closed)
            for path in [folder] if name == "iterdir" else [folder / "a.png", video]:
                with pytest.raises(PosekitError, match=rf"{path} cannot be .*Permission denied"):
                    open_media(path)


def test_nothing_given_shows_the_sample_and_says_that_networks_are_untrained():
    demo = setup.start({})
    assert "generated sample" in demo.text()
    assert "NOT TRAINED" in setup.open_networks(demo)
    assert [e.name for e in demo.estimators] == ["lpm", "cpm"] and "-sample-" in demo.folder.name
    frames.process(demo)
    show.poses(demo)
    show.finish(demo)
    page = (demo.folder / "report.html").read_text(encoding="utf-8")
    assert "generated sample" in page and "not trained" in page


def test_the_latest_finished_run_is_found(reports):
    config = resolve("lpm", {"dataset": "PennAction", "source": "sample", "image_size": [64, 64]})
    folders = {}
    for status in ("finished", "interrupted"):
        made = run_folder.Run.open(config)
        folders[status] = made.folder.name
        model = create_model("lpm", width=config.settings.width)
        about = {"skeleton": "pose_machine", "width": str(config.settings.width)}
        save_weights(model, made.folder / "weights.safetensors", about)
        made.end(status)
    demo = setup.start({})
    assert folders["finished"] in setup.open_networks(demo) and len(demo.estimators) == 1
    estimator = demo.estimators[0]
    assert estimator.trained and estimator.framing.image_size == (64, 64)
    assert estimator.task.centre_sigma == config.settings.centre_sigma


def test_weights_of_others_and_of_our_own(tmp_path):
    model = create_model("hourglass_1", 16)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "foreign.pth")
    opened = open_estimator(f"hourglass_1@{tmp_path / 'foreign.pth'}", CPU)
    assert opened.skeleton.name == "mpii" and opened.trained
    small = create_model("hourglass_1", 17, width=0.125)
    about = {"skeleton": "coco", "width": "0.125", "image_size": "[128, 64]"}
    save_weights(small, tmp_path / "own.safetensors", about)
    opened = open_estimator(str(tmp_path / "own.safetensors"), CPU)
    assert opened.framing.image_size == (128, 64) and opened.skeleton is COCO
    with pytest.raises(PosekitError, match="write NAME@foreign.pth"):
        open_estimator(str(tmp_path / "foreign.pth"), CPU)
    with pytest.raises(PosekitError, match="did you mean hrnet_w32"):
        open_estimator("hrnet_w33", CPU)


@torch.inference_mode()
def test_a_stream_gives_what_the_clip_gives_whoever_joins():
    estimator = open_estimator("lpm", CPU)
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


def test_memory_does_not_grow_with_the_video(spots, monkeypatch):
    alive, most = [], 0

    def endless():
        nonlocal most
        for number in range(1, 121):
            frame = Frame(number, f"frame {number}", scene(60, 40))
            alive.append(weakref.ref(frame.image))
            most = max(most, sum(picture() is not None for picture in alive))
            yield frame

    media = Media(Path("long.mp4"), True, None, 25.0, endless)
    monkeypatch.setattr(setup, "open_media", lambda *_: media)
    demo = setup.start({"input": "long.mp4", "network": "spot", "gif_frames": 10})
    setup.open_networks(demo)
    frames.process(demo)
    assert most <= 3, "frames held at a time"
    kept = [demo.poses, demo.gif, *demo.heatmaps]
    assert max(len(sample.items) for sample in kept) <= 16 and len(demo.gif.items) >= 5
    assert len(demo.jitter._window) == 3 and len(demo.jitter._window[0].keypoints) == 1
    assert pd.read_csv(demo.folder / "keypoints-spot.csv").frame.nunique() == 120


@pytest.mark.parametrize("count", [1, 5, 9, 100, 1000])
def test_sample_of_many_are_evenly_spread(count):
    sample = EvenSample(6)
    for item in range(count):
        sample.add(lambda item=item: item)
    assert sample.items == list(range(0, count, sample.step)) and len(sample.items) <= 6
    assert count < 6 or len(sample.items) >= 3
    assert sample.spread(3)[0] == 0 and len(sample.spread(3)) == min(3, count)


def tracks(ids: list[int], sides: list[float]) -> Tracks:
    boxes = np.array([[0.0, 0, side, side] for side in sides]).reshape(-1, 4)
    return Tracks(boxes, np.ones(len(ids)), np.array(ids, int))


def poses(keypoints: np.ndarray, scores: np.ndarray) -> PoseEstimate:
    return PoseEstimate(keypoints, scores, None, None, [])


def test_jitter_by_hand():
    jitter = Jitter([COCO, COCO], threshold=0.5)
    scores = np.ones((2, 17))
    scores[1, 5:] = 0
    for t in range(5):
        steady = np.zeros((2, 17, 2))
        steady[..., 0] = 7 * t  # no acceleration
        shaking = steady.copy()
        shaking[0, :, 1] = 3 * (t % 2)  # second difference 6 in every frame
        shaking[1, :, 1] = 2 * t**2  # 4
        here = slice(0, 2) if t < 4 else slice(1, 2)
        estimates = [
            poses(steady[here], np.ones((2, 17))[here]),
            poses(shaking[here], scores[here]),
        ]
        jitter.add(tracks([3, 8][here], [60.0, 20.0][here]), estimates)
    table = jitter.table(["steady", "shaking"])
    counted = 2 * 17 + 3 * 5  # person 3 in two windows, person 8 with 5 confident joints in three
    assert table["joints counted"].tolist() == [counted] * 2
    pixels = (2 * 17 * 6 + 3 * 5 * 4) / counted
    share = (2 * 17 * 6 / 60 + 3 * 5 * 4 / 20) / counted
    assert table.iloc[0, 1:3].tolist() == [0, 0]
    assert table.iloc[1, 1:3].tolist() == pytest.approx([pixels, 100 * share], abs=1e-3)
    mixed = Jitter([COCO, POSE_MACHINE], threshold=0.5)
    for _ in range(3):
        estimates = [poses(np.zeros((1, k, 2)), np.ones((1, k))) for k in (17, 14)]
        mixed.add(tracks([1], [1.0]), estimates)
    assert mixed.table(["a", "b"])["joints counted"].tolist() == [12, 12]


def test_keypoint_files_are_coco_results(tmp_path):
    root = ensure_sample("COCO", tmp_path / "data", smoke=True)
    truth = load("COCO", "test", root, source="sample")
    images = [int(Path(name).stem) for name in truth.image.tolist()]
    files = [tmp_path / "points.json", tmp_path / "points.csv"]
    with write_keypoints(tmp_path, "points", COCO) as writer:
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
    with pytest.raises(RuntimeError), write_keypoints(tmp_path, "points", COCO) as writer:
        writer.add(Frame(1, "half", None), people, found)
        raise RuntimeError
    assert json.loads(files[0].read_text(encoding="utf-8"))[0]["category_id"] == 1
    assert not list(tmp_path.glob(".*"))


def test_an_mp4_appears_whole_or_not_at_all(tmp_path):
    path, image = tmp_path / "a.mp4", np.zeros((33, 41, 3), np.uint8)
    with pytest.raises(RuntimeError), VideoWriter(path, 10) as video:
        video.add(image)
        raise RuntimeError
    assert not path.exists()
    with VideoWriter(path, 10) as video:
        for _ in range(3):
            video.add(image)
        assert not path.exists()
    assert [f.size for f in open_media(path).frames()] == [(32, 40)] * 3
    assert len(list(tmp_path.glob(".*.mp4"))) == 0


@pytest.mark.parametrize(("total", "count"), [(1, 1), (1, 4), (0, 3), (5, 5), (7, 3), (9, 200)])
def test_spread_rows_are_distinct_and_reach_both_ends(total, count):
    rows = spread_rows(total, count).tolist()
    assert rows == sorted(set(rows)) and len(rows) == min(total, count)
    assert rows[:1] == [0][:total] and (count < 2 or rows[-1:] == [total - 1][:total])


def test_networks_of_one_name_are_numbered():
    estimators = [spot("a"), spot("b"), spot("a")]
    number_equal_names(estimators)
    assert [estimator.name for estimator in estimators] == ["a-1", "b", "a-2"]


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


def test_boxes_of_a_coco_file(tmp_path):
    path = tmp_path / "boxes.json"
    records = [{"image_id": 4, "bbox": [10, 20, 31, 41], "score": 0.7, "category_id": 1}]
    records += [{"image_id": 4, "bbox": [150, 20, 90, 41], "score": 0.4, "category_id": 1}]
    path.write_text(json.dumps(records), encoding="utf-8")
    boxes, scores = CocoBoxes(path).find(Frame(4, "d", scene(1, 1)))
    assert boxes.tolist() == [[10, 20, 40, 60], [150, 20, 159, 60]] and scores.tolist() == [
        0.7,
        0.4,
    ]
    assert len(CocoBoxes(path).find(Frame(5, "e", scene(1, 1)))[0]) == 0
    path.write_text('{"annotations": [{"bbox": 3}]}', encoding="utf-8")
    with pytest.raises(PosekitError, match="record 0 has no field image_id"):
        CocoBoxes(path)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"bbox": ["a", "b", "c", "d"]}, "bbox"),
        ({"bbox": [0, 0, float("nan"), 5]}, "bbox"),
        ({"bbox": [0, 0, float("inf"), 5]}, "bbox"),
        ({"bbox": [0, 0, 5]}, "bbox"),
        ({"bbox": None}, "bbox"),
        ({"score": "x"}, "score"),
        ({"score": None}, "score"),
        ({"score": float("nan")}, "score"),
        ({"image_id": float("inf")}, "image_id"),
        ({"image_id": 1.5}, "image_id"),
        ({"image_id": "x"}, "image_id"),
        ({"image_id": None}, "image_id"),
    ],
    ids=str,
)
@pytest.mark.parametrize("truth", [True, False])
def test_bad_boxes_are_refused_before_the_run(tmp_path, changes, field, truth):
    path, good = tmp_path / "boxes.json", {"image_id": 4, "bbox": [1, 2, 3, 4], "score": 0.5}
    records = [good, good | changes]
    path.write_text(json.dumps({"annotations": records} if truth else records), encoding="utf-8")
    with pytest.raises(PosekitError, match=rf"boxes\.json: .*field {field}\b.*") as caught:
        CocoBoxes(path)
    assert "record 1" in str(caught.value)


@pytest.mark.parametrize("content", ["3", "{}", '{"annotations": 3}', "[3]", "[[]]", "null"])
def test_other_json_is_no_file_of_boxes(tmp_path, content):
    path = tmp_path / "boxes.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(PosekitError, match=r"boxes.json: .*image_id and bbox"):
        CocoBoxes(path)


@pytest.mark.parametrize("shape", [(1, 3000), (3000, 1), (1, 1)])
def test_pictures_one_pixel_thin_are_drawn(shape):
    frame = Frame(1, "thin", np.zeros((*shape, 3), np.uint8))
    box = np.array([[0.0, 0, shape[1], shape[0]]])
    media = Media(Path("thin.png"), False, 1, 1.0, lambda: iter([frame]))
    demo = Demo(DemoSettings(), media, WholeFrame(), False, CPU, [spot()])
    estimates = [spot().estimate(frame.image, box)]
    nobody = Tracks(box, np.ones(1), np.ones(1, int))
    assert min(frames.draw_frame(demo, frame, nobody, estimates, 720).shape) >= 1


@pytest.mark.parametrize(
    "stored",
    [
        {"width": "abc"},
        {"width": "NaN"},
        {"width": "[1]"},
        {"width": "99"},
        {"image_size": "abc"},
        {"image_size": "[0, 0]"},
        {"image_size": "[" * 5000},
        {"skeleton": "dog"},
    ],
    ids=lambda stored: str(stored)[:30],
)
def test_metadata_that_make_no_network_are_refused(tmp_path, stored):
    path, [field] = tmp_path / "own.safetensors", stored
    save_weights(create_model("hourglass_1", 17, width=0.125), path, {"width": "0.125"} | stored)
    with pytest.raises(PosekitError, match=rf"own.safetensors: its metadata .*{field}"):
        open_estimator(str(path), CPU)


@pytest.mark.parametrize("size", [(0, 0), (-64, 64), (64.0, 64), (8, 64), (64,), 64, ("a", 64)])
def test_impossible_crops_are_refused(size):
    with pytest.raises(PosekitError, match="image_size="):
        open_estimator("hourglass_1", CPU, image_size=size)


def test_a_home_that_does_not_exist_is_no_place():
    for source in ("~nosuchuser/x", "hrnet_w32@~nosuchuser/x"):
        with pytest.raises(PosekitError, match="no such"):
            open_estimator(source, CPU)
    with pytest.raises(PosekitError, match="there is no such"):
        open_media("~nosuchuser/x")
    with pytest.raises(PosekitError, match="is missing"):
        box_sources.open_box_source("~nosuchuser/x.json", CPU)
    assert "image_size item 0=0: must be" in refusal(image_size=[0, 0])


def test_a_local_detector_is_used(tmp_path, monkeypatch):
    from torchvision.models import get_model

    name = "ssdlite320_mobilenet_v3_large"
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    file = folder / f"{name}_coco-12345678.pth"
    torch.save(get_model(name, weights=None, weights_backbone=None).state_dict(), file)
    assert box_sources.local_detector() == (name, file)
    detector = box_sources.open_box_source("auto", CPU)
    assert name in detector.about
    boxes, scores = detector.find(Frame(1, "a", scene(50, 50)))
    assert boxes.shape == (len(scores), 4) and (scores >= 0.5).all()
    file.write_bytes(b"junk")
    with pytest.raises(PosekitError, match=f"holds no weights of {name}"):
        box_sources.open_box_source("detector", CPU)


def test_what_is_wrong_is_said_in_one_message(tmp_path, video, spots):
    data, empty, loose = video.read_bytes(), tmp_path / "empty", tmp_path / "loose"
    empty.mkdir()
    loose.mkdir()
    torn, text, picture = tmp_path / "torn.mp4", tmp_path / "a.mp4", tmp_path / "a.jpg"
    torn.write_bytes(data[: len(data) // 2])
    text.write_text("no video", encoding="utf-8")
    picture.write_bytes(cv2.imencode(".jpg", scene(9, 9))[1].tobytes()[:-200])
    cv2.imwrite(str(loose / "1.png"), scene(9, 9))
    cv2.imwrite(str(loose / "2.png"), scene(9, 9)[:50])
    known = {"input": str(video), "network": "spot"}
    assert "no such image, folder or video" in refusal(input=str(tmp_path / "none.mp4"))
    assert "nor a video that OpenCV can read" in refusal(input=str(text))
    assert "encode it as mp4" in refusal(input=str(torn))
    assert "no image (" in refusal(input=str(empty))
    assert "not a readable image" in refusal(input=str(picture), network="spot")
    assert "unset sequence" in refusal(input=str(loose), sequence=True, network="spot")
    assert "does not lie inside jump frame 1, which is 160 x 120" in refusal(
        **known, boxes="10 10 200 90"
    )
    assert "write auto, detector, whole" in refusal(**known, boxes="here")
    assert "no weights of a person detector" in refusal(**known, boxes="detector")
    assert "set network as well" in refusal(beside="spot")
    assert "did you mean input" in refusal(inputs=str(video))
    assert "threshold='high'" in refusal(threshold="high")
    assert not list(tmp_path.rglob("keypoints-*")), "nothing half-written after an error"
    assert not list(tmp_path.rglob(".*.partial*"))


def test_the_whole_frame_is_searched_in_parts():
    windows = WholeFrame().windows(Frame(1, "a", scene(1, 1)))
    assert windows[0].tolist() == [0, 0, 160, 120]
    assert windows[1:].tolist() == [[0, 0, 90, 120], [35, 0, 125, 120], [70, 0, 160, 120]]


def test_the_search_ends_when_somebody_is_found(monkeypatch):
    counted, estimate = [], Estimator.estimate
    monkeypatch.setattr(Estimator, "estimate", lambda *a: counted.append(1) or estimate(*a))
    video = VideoEstimator([spot()], WholeFrame(), follow=True, threshold=0.2, is_video=True)
    total = []
    for image in (np.zeros((*SIZE, 3), np.uint8), scene(50, 40), scene(54, 40)):
        _, estimates, _ = video.process(Frame(1, "a", image))
        total.append(len(counted))
    assert total == [3, 6, 7], "parts, the best one, closer; then one estimate a frame"
    assert np.allclose(estimates[0].keypoints[0, 0], [54, 40], atol=3)


def test_real_network_on_real_pictures(tmp_path):
    real = os.environ.get("POSEKIT_REAL_DATA")
    if not real:
        pytest.skip("POSEKIT_REAL_DATA names no folder of real samples")
    network = str(Path(real, "checkpoints", "ultralight_nano_simplepose_256x192.onnx"))
    folder = Path(real, "coco")
    boxes = str(folder / "annotations" / "person_keypoints_val2017.json")
    demo = setup.start(
        {
            "input": str(folder / "images" / "val2017"),
            "network": network,
            "boxes": boxes,
            "flip_test": True,
        }
    )
    setup.open_networks(demo)
    frames.process(demo)
    found = next(demo.folder.glob("keypoints-*.json"))
    assert posekit.score("COCO", found, root=real).mean == pytest.approx(0.5647, abs=1e-4)

    clip = run(input=str(Path(real, "clips", "penn_action_0502.mp4")), network=network)
    table = pd.read_csv(next(clip.folder.glob("keypoints-*.csv")))
    penn = load("PennAction", "test", Path(real), allow_partial=True)
    rows = np.flatnonzero(penn.sequence == 502)
    for joint in ("left_shoulder", "right_shoulder", "left_elbow", "right_hip"):
        found = table[table.joint == joint][["x", "y"]].to_numpy()
        [column] = penn.skeleton.index(joint)
        distance = np.linalg.norm(found - penn.keypoints[rows, column], axis=-1)
        near = distance < 0.2 * (penn.boxes[rows, 2:] - penn.boxes[rows, :2]).max(-1)
        assert near[penn.visible[rows, column]].mean() > 0.9, joint
