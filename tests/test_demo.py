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
from posekit import demo, people, results
from posekit.data import load
from posekit.data.framing import Framing
from posekit.data.sample import ensure_sample
from posekit.errors import PosekitError
from posekit.estimator import Estimator, Wanted, open_estimator, untrained
from posekit.models import Description, create_model
from posekit.people import BoxFile, GivenBoxes, WholeFrame
from posekit.recipes import bind
from posekit.show import Wishes, drawn
from posekit.skeletons import COCO, POSE_MACHINE
from posekit.traces import Jitter, KeypointFiles, whole_file
from posekit.tracker import Tracker
from posekit.train.top_down import TopDownTask
from posekit.video import Few, Footage, Frame, Mp4, open_footage
from posekit.weights import save_weights

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "demo.ipynb"
CPU = torch.device("cpu")
PLAIN = Wanted(None, None, False, CPU)
SIZE = (120, 160)  # h, w of the test footage


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
    monkeypatch.setattr(demo, "open_estimator", lambda name, wanted: spot(name))


@pytest.fixture
def video(tmp_path) -> Path:
    path = tmp_path / "jump.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 20, SIZE[::-1])
    for t in range(24):
        writer.write(scene(20 + 4 * t, 40)[..., ::-1])
    writer.release()
    return path


def run(**wishes) -> demo.Demo:
    """All cells of the notebook."""
    job = demo.start(wishes)
    job.text()
    demo.networks(job)
    demo.watch(job)
    for step in (demo.poses, demo.animation, demo.heatmaps, demo.confidences, demo.jitter):
        step(job)
    demo.finish(job)
    return job


def refusal(**wishes) -> str:
    with pytest.raises(PosekitError) as caught:
        run(**wishes)
    return str(caught.value)


def test_parameters_cell_declares_the_wishes():
    book = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    source = next("".join(c["source"]) for c in book["cells"] if c["cell_type"] == "code")
    found = {n.target.id: ast.literal_eval(n.value) for n in ast.parse(source).body}
    assert found == Wishes().model_dump()
    assert all(field.description in source for field in Wishes.model_fields.values())


def test_a_video_is_followed_and_written(video, spots):
    job = run(input=str(video), network="spot", beside="other", gif_frames=6, threshold=0.05)
    table = pd.read_csv(job.folder / "keypoints-spot.csv")
    assert len(table) == 24 * 17 and table.frame.max() == 24
    nose = table[table.joint == "nose"]
    assert np.allclose(nose.x, 20 + 4 * np.arange(24), atol=3) and np.allclose(nose.y, 40, atol=3)
    ear = table[table.joint == "right_eye"]  # the third joint: the blue spot
    assert np.allclose(ear.x, nose.x + 10, atol=4) and np.allclose(ear.y, 84, atol=3)
    found = json.loads((job.folder / "keypoints-other.json").read_text(encoding="utf-8"))
    assert [r["image_id"] for r in found] == list(range(1, 25))
    assert found[3]["keypoints"][:2] == pytest.approx([32, 40], abs=3)

    written = open_footage(job.folder / "poses.mp4")
    frames = list(written.frames())
    assert written.fps == 20 and len(frames) == 24
    assert frames[0].size[1] > 2 * frames[0].size[0], "two panels"
    assert 3 <= len(job.strip.items) <= 6
    assert demo.jitter(job)["joints counted"].tolist() == [22 * 17] * 2
    assert demo.confidences(job)["mean score"].min() > 0.5
    record = json.loads((job.folder / "demo.json").read_text(encoding="utf-8"))
    assert (record["status"], record["frames"], record["people"]) == ("finished", 24, [24, 24])
    page = (job.folder / "report.html").read_text(encoding="utf-8")
    assert "data:image/gif" in page and "http" not in page and 'href="poses.mp4"' in page
    assert not [p for p in job.folder.rglob(".*")], "nothing half-written"


def test_pictures_keep_their_numbers_and_given_boxes(tmp_path, spots):
    folder = tmp_path / "some"
    folder.mkdir()
    for number, x in ((7, 50), (12, 70)):
        cv2.imwrite(str(folder / f"{number:012d}.png"), scene(x, 40)[..., ::-1])
    job = run(input=str(folder), network="spot", boxes="[20, 20, 120, 110]")
    table = pd.read_csv(job.folder / "keypoints-spot.csv").query("joint == 'nose'")
    assert table.frame.tolist() == [7, 12] and np.allclose(table.x, [50, 70], atol=3)
    drawn = sorted(p.name for p in (job.folder / "pictures").iterdir())
    assert drawn == ["000000000007.png.jpg", "000000000012.png.jpg"]
    assert "nothing moves" in demo.jitter(job)
    one = run(input=str(folder / "000000000007.png"), network="spot", boxes="whole")
    assert pd.read_csv(one.folder / "keypoints-spot.csv").x[0] == pytest.approx(50, abs=3)
    assert run(input=str(folder), sequence=True, network="spot").footage.moving


def test_nothing_given_shows_the_sample_and_says_that_networks_are_untrained():
    job = demo.start({})
    assert "generated sample" in job.text()
    assert "NOT TRAINED" in demo.networks(job)
    assert [e.name for e in job.estimators] == ["lpm", "cpm"] and "-sample-" in job.folder.name
    demo.watch(job)
    demo.poses(job)
    demo.finish(job)
    page = (job.folder / "report.html").read_text(encoding="utf-8")
    assert "generated sample" in page and "not trained" in page


def test_the_latest_finished_run_is_found(reports):
    bound = bind("lpm", {"dataset": "PennAction", "source": "sample", "image_size": [64, 64]})
    folders = {}
    for status in ("finished", "interrupted"):
        made = results.Run.open(bound)
        folders[status] = made.folder.name
        model = create_model("lpm", width=bound.recipe.width)
        about = {"skeleton": "pose_machine", "width": str(bound.recipe.width)}
        save_weights(model, made.folder / "weights.safetensors", about)
        made.end(status)
    job = demo.start({})
    assert folders["finished"] in demo.networks(job) and len(job.estimators) == 1
    estimator = job.estimators[0]
    assert estimator.trained and estimator.framing.image_size == (64, 64)
    assert estimator.task.centre_sigma == bound.recipe.centre_sigma


def test_weights_of_others_and_of_our_own(tmp_path):
    model = create_model("hourglass_1", 16)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "foreign.pth")
    opened = open_estimator(f"hourglass_1@{tmp_path / 'foreign.pth'}", PLAIN)
    assert opened.skeleton.name == "mpii" and opened.trained
    small = create_model("hourglass_1", 17, width=0.125)
    about = {"skeleton": "coco", "width": "0.125", "image_size": "[128, 64]"}
    save_weights(small, tmp_path / "own.safetensors", about)
    opened = open_estimator(str(tmp_path / "own.safetensors"), PLAIN)
    assert opened.framing.image_size == (128, 64) and opened.skeleton is COCO
    with pytest.raises(PosekitError, match="write NAME@foreign.pth"):
        open_estimator(str(tmp_path / "foreign.pth"), PLAIN)
    with pytest.raises(PosekitError, match="did you mean hrnet_w32"):
        open_estimator("hrnet_w33", PLAIN)


@torch.inference_mode()
def test_a_stream_gives_what_the_clip_gives_whoever_joins():
    estimator = untrained("lpm", PLAIN)
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (3, *SIZE, 3), np.uint8)
    boxes = np.array([[10.0, 10, 90, 110], [40, 5, 150, 100]])
    memory, streamed = {}, []
    for t, picture in enumerate(pictures):
        numbers = [0] if t == 0 else [0, 1]  # the second person comes in frame 2
        look = estimator.look(picture, boxes[numbers], [memory.get(n) for n in numbers])
        memory = dict(zip(numbers, look.memory, strict=True))
        streamed.append(look)
    for person, first in ((0, 0), (1, 1)):
        seen = [look.crops[person] for look in streamed[first:]]
        images = torch.from_numpy(np.stack(seen)).permute(0, 3, 1, 2)[None]
        clip = estimator.task.beliefs(images)[0, -1].numpy()
        assert np.allclose(streamed[-1].maps[person], clip, atol=1e-5)
        assert not np.allclose(estimator.look(pictures[-1], boxes).maps[person], clip, atol=1e-5)


def test_memory_does_not_grow_with_the_video(spots, monkeypatch):
    alive, most = [], 0

    def endless():
        nonlocal most
        for number in range(1, 121):
            frame = Frame(number, f"frame {number}", scene(60, 40))
            alive.append(weakref.ref(frame.picture))
            most = max(most, sum(picture() is not None for picture in alive))
            yield frame

    footage = Footage(Path("long.mp4"), True, None, 25.0, endless)
    monkeypatch.setattr(demo, "open_footage", lambda *_: footage)
    job = demo.start({"input": "long.mp4", "network": "spot", "gif_frames": 10})
    demo.networks(job)
    demo.watch(job)
    assert most <= 3, "frames held at a time"
    kept = [job.sheet, job.strip, *job.maps]
    assert max(len(few.items) for few in kept) <= 16 and len(job.strip.items) >= 5
    assert len(job.shaking._window) == 3 and len(job.shaking._window[0].keypoints) == 1
    assert pd.read_csv(job.folder / "keypoints-spot.csv").frame.nunique() == 120


@pytest.mark.parametrize("count", [1, 5, 9, 100, 1000])
def test_few_of_many_are_evenly_spread(count):
    few = Few(6)
    for item in range(count):
        few.add(lambda item=item: item)
    assert few.items == list(range(0, count, few.step)) and len(few.items) <= 6
    assert count < 6 or len(few.items) >= 3
    assert few.spread(3)[0] == 0 and len(few.spread(3)) == min(3, count)


def test_jitter_by_hand():
    jitter = Jitter([COCO, COCO])
    sure = np.ones((2, 17), bool)
    sure[1, 5:] = False
    for t in range(5):
        steady = np.zeros((2, 17, 2))
        steady[..., 0] = 7 * t  # no acceleration
        shaking = steady.copy()
        shaking[0, :, 1] = 3 * (t % 2)  # second difference 6 in every frame
        shaking[1, :, 1] = 2 * t**2  # 4
        numbers = np.array([3, 8]) if t < 4 else np.array([8])
        rows = slice(2 - len(numbers), 2)
        frame = [steady[rows], shaking[rows]], [np.ones((2, 17), bool)[rows], sure[rows]]
        jitter.add(numbers, *frame, np.array([60.0, 20.0])[rows])
    table = jitter.table(["steady", "shaking"])
    counted = 2 * 17 + 3 * 5  # person 3 in two windows, person 8 with 5 sure joints in three
    assert table["joints counted"].tolist() == [counted] * 2
    pixels = (2 * 17 * 6 + 3 * 5 * 4) / counted
    share = (2 * 17 * 6 / 60 + 3 * 5 * 4 / 20) / counted
    assert table.iloc[0, 1:3].tolist() == [0, 0]
    assert table.iloc[1, 1:3].tolist() == pytest.approx([pixels, 100 * share], abs=1e-3)
    mixed = Jitter([COCO, POSE_MACHINE])
    for _ in range(3):
        points = [np.zeros((1, 17, 2)), np.zeros((1, 14, 2))]
        seen = [np.ones((1, 17), bool), np.ones((1, 14), bool)]
        mixed.add(np.array([1]), points, seen, np.ones(1))
    assert mixed.table(["a", "b"])["joints counted"].tolist() == [12, 12]


def test_keypoint_files_are_coco_results(tmp_path):
    root = ensure_sample("COCO", tmp_path / "data", smoke=True)
    truth = load("COCO", "test", root, source="sample")
    images = [int(Path(name).stem) for name in truth.image.tolist()]
    files = [tmp_path / "points.json", tmp_path / "points.csv"]
    with whole_file(files[0]) as results_file, whole_file(files[1]) as table_file:
        writer = KeypointFiles(results_file, table_file, COCO)
        for image in dict.fromkeys(images):
            rows = [row for row, i in enumerate(images) if i == image]
            one = np.ones(len(rows))
            scores = np.full((len(rows), 17), 0.9)
            numbers = np.arange(len(rows))
            points = truth.keypoints[rows]
            writer.add(image, 'a "name"', numbers, points, scores, one)
        writer.add(10**6, "nobody", np.empty(0, int), np.empty((0, 17, 2)), np.empty((0, 17)), one)
        writer.end()
        assert not any(file.exists() for file in files)
    assert posekit.score("COCO", files[0], root=root).mean > 0.999
    table = pd.read_csv(files[1])
    assert set(table.image) == {'a "name"'} and table.score.unique() == [0.9]
    points = table[["x", "y"]].to_numpy().reshape(-1, 17, 2)
    assert np.allclose(points, truth.keypoints, atol=0.01)
    with pytest.raises(RuntimeError), whole_file(files[0]) as file:
        file.write("half")
        raise RuntimeError
    assert json.loads(files[0].read_text(encoding="utf-8"))[0]["category_id"] == 1
    assert not list(tmp_path.glob(".*"))


def test_an_mp4_appears_whole_or_not_at_all(tmp_path):
    for keep in (False, True):
        video = Mp4(tmp_path / "a.mp4", 10)
        for _ in range(3):
            video.add(np.zeros((33, 41, 3), np.uint8))
        assert not video.path.exists()
        video.close(keep)
        assert video.path.exists() == keep
    assert [f.size for f in open_footage(tmp_path / "a.mp4").frames()] == [(32, 40)] * 3
    assert len(list(tmp_path.glob(".*.mp4"))) == 0


def test_people_keep_their_numbers_and_their_boxes_move():
    frame = Frame(1, "a", scene(50, 50))
    source = GivenBoxes(np.array([[10.0, 10, 40, 60], [80, 10, 120, 60]]))
    tracker = Tracker(source, follow=False)
    assert tracker.place(frame).numbers.tolist() == [1, 2]
    source.boxes = source.boxes[::-1] + 2
    moved = tracker.place(frame)
    assert moved.numbers.tolist() == [1, 2] and moved.boxes[0, 0] == 12
    source.boxes = np.array([[0.0, 80, 30, 110], [82, 12, 122, 62]])
    assert tracker.place(frame).numbers.tolist() == [2, 3], "one went, one came"

    source.boxes = np.array([[10.0, 10, 40, 60]])
    tracker = Tracker(source, follow=True)
    tracker.place(frame)
    points = np.zeros((1, 17, 2)) + [100, 70]
    points[0, 0] = [120, 110]
    seen = np.ones((1, 17), bool)
    for _ in range(90):
        tracker.people = tracker.moved(points, seen)
    assert np.allclose(tracker.place(frame).boxes, [[98, 66, 122, 114]], atol=0.1)
    for _ in range(30):
        tracker.people = tracker.moved(points, ~seen)
    assert np.allclose(tracker.people.boxes, source.boxes, atol=0.1), "lost: back to the start"


def test_boxes_of_a_coco_file(tmp_path):
    path = tmp_path / "boxes.json"
    records = [{"image_id": 4, "bbox": [10, 20, 31, 41], "score": 0.7, "category_id": 1}]
    records += [{"image_id": 4, "bbox": [150, 20, 90, 41], "score": 0.4, "category_id": 1}]
    path.write_text(json.dumps(records), encoding="utf-8")
    boxes, scores = BoxFile(path).find(Frame(4, "d", scene(1, 1)))
    assert boxes.tolist() == [[10, 20, 40, 60], [150, 20, 159, 60]] and scores.tolist() == [
        0.7,
        0.4,
    ]
    assert len(BoxFile(path).find(Frame(5, "e", scene(1, 1)))[0]) == 0
    path.write_text('{"annotations": [{"bbox": 3}]}', encoding="utf-8")
    with pytest.raises(PosekitError, match="image_id and bbox"):
        BoxFile(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bbox": ["a", "b", "c", "d"]}, "bbox="),
        ({"bbox": [0, 0, float("nan"), 5]}, "bbox="),
        ({"bbox": [0, 0, float("inf"), 5]}, "bbox="),
        ({"bbox": [0, 0, 5]}, "bbox="),
        ({"bbox": None}, "bbox="),
        ({"score": "x"}, "score='x'"),
        ({"score": None}, "score=None"),
        ({"score": float("nan")}, "score=nan"),
        ({"image_id": float("inf")}, "image_id=inf"),
        ({"image_id": 1.5}, "image_id=1.5"),
        ({"image_id": "x"}, "image_id='x'"),
        ({"image_id": None}, "image_id=None"),
    ],
    ids=str,
)
@pytest.mark.parametrize("truth", [True, False])
def test_bad_boxes_are_refused_before_the_run(tmp_path, changes, message, truth):
    path, good = tmp_path / "boxes.json", {"image_id": 4, "bbox": [1, 2, 3, 4], "score": 0.5}
    records = [good, good | changes]
    path.write_text(json.dumps({"annotations": records} if truth else records), encoding="utf-8")
    with pytest.raises(PosekitError, match=f"boxes.json: record 1 has {message}"):
        BoxFile(path)


@pytest.mark.parametrize("content", ["3", "{}", '{"annotations": 3}', "[3]", "[[]]", "null"])
def test_other_json_is_no_file_of_boxes(tmp_path, content):
    path = tmp_path / "boxes.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(PosekitError, match=r"boxes.json: .*image_id and bbox"):
        BoxFile(path)


@pytest.mark.parametrize("shape", [(1, 3000), (3000, 1), (1, 1)])
def test_pictures_one_pixel_thin_are_drawn(shape):
    frame = Frame(1, "thin", np.zeros((*shape, 3), np.uint8))
    box = np.array([[0.0, 0, shape[1], shape[0]]])
    footage = Footage(Path("thin.png"), False, 1, 1.0, lambda: iter([frame]))
    job = demo.Demo(Wishes(), footage, WholeFrame(), False, CPU, [spot()])
    looks = [spot().look(frame.picture, box)]
    nobody = people.People(box, np.ones(1), np.ones(1, int))
    assert min(drawn(job, frame, nobody, looks, 720).shape) >= 1


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
        open_estimator(str(path), PLAIN)


@pytest.mark.parametrize("size", [(0, 0), (-64, 64), (64.0, 64), (8, 64), (64,), 64, ("a", 64)])
def test_impossible_crops_are_refused(size):
    with pytest.raises(PosekitError, match="image_size="):
        Wanted(None, size, False, CPU)


def test_a_home_that_does_not_exist_is_no_place():
    for source in ("~nosuchuser/x", "hrnet_w32@~nosuchuser/x"):
        with pytest.raises(PosekitError, match="no such"):
            open_estimator(source, PLAIN)
    with pytest.raises(PosekitError, match="there is no such"):
        open_footage("~nosuchuser/x")
    with pytest.raises(PosekitError, match="is missing"):
        people.choose_boxes("~nosuchuser/x.json", CPU)
    assert "image_size item 0=0: must be" in refusal(image_size=[0, 0])


def test_a_local_detector_is_used(tmp_path, monkeypatch):
    from torchvision.models import get_model

    name = "ssdlite320_mobilenet_v3_large"
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    file = folder / f"{name}_coco-12345678.pth"
    torch.save(get_model(name, weights=None, weights_backbone=None).state_dict(), file)
    assert people.local_detector() == (name, file)
    detector = people.choose_boxes("auto", CPU)
    assert name in detector.about
    boxes, scores = detector.find(Frame(1, "a", scene(50, 50)))
    assert boxes.shape == (len(scores), 4) and (scores >= 0.5).all()
    file.write_bytes(b"junk")
    with pytest.raises(PosekitError, match=f"holds no weights of {name}"):
        people.choose_boxes("detector", CPU)


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
    assert "no such picture, folder or video" in refusal(input=str(tmp_path / "none.mp4"))
    assert "nor a video that OpenCV can read" in refusal(input=str(text))
    assert "encode it as mp4" in refusal(input=str(torn))
    assert "no picture (" in refusal(input=str(empty))
    assert "not a readable picture" in refusal(input=str(picture), network="spot")
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


def test_real_network_on_real_pictures(tmp_path):
    real = os.environ.get("POSEKIT_REAL_DATA")
    if not real:
        pytest.skip("POSEKIT_REAL_DATA names no folder of real samples")
    network = str(Path(real, "checkpoints", "ultralight_nano_simplepose_256x192.onnx"))
    folder = Path(real, "coco")
    boxes = str(folder / "annotations" / "person_keypoints_val2017.json")
    job = demo.start(
        {
            "input": str(folder / "images" / "val2017"),
            "network": network,
            "boxes": boxes,
            "flip_test": True,
        }
    )
    demo.networks(job)
    demo.watch(job)
    found = next(job.folder.glob("keypoints-*.json"))
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
