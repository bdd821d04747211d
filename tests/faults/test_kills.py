"""Runs that are killed anywhere, twice, and started again end as if nothing had happened."""

import json
import random
import signal

import pytest
from faults import SLOW, STOP, content, partials, runs, slow

WORDS = "-p source sample -p eval_every 1 -p device cpu -p precision fp32"
TRAININGS = {
    "LPM": f"train lpm PennAction -p epochs 2 -p workers 0 {WORDS}",
    "LPM with workers": f"train lpm PennAction -p epochs 2 -p workers 2 {WORDS}",
    "top-down": f"train simplebaseline COCO -p epochs 2 -p workers 0 {WORDS}",
    "rounds": f"train lpn COCO -p epochs 1 -p rounds 2 -p workers 0 {WORDS}",
    "occlusion": f"train simplebaseline COCO -p epochs 2 -p occlusion blur -p workers 1 {WORDS}",
}
SIGNALS = signal.SIGKILL, signal.SIGTERM, signal.SIGINT
ATTEMPTS = 15 if SLOW else 1  # of each training; each is killed twice, and some at random moments
killed = dict.fromkeys(TRAININGS, 0)


@pytest.fixture(scope="module")
def references(commands, tmp_path_factory):
    """What each training leaves when nobody disturbs it, its writes and its seconds."""
    made = {}

    def of(name):
        if name not in made:
            reports = tmp_path_factory.mktemp("reference")
            ended = commands.run(TRAININGS[name], reports)
            assert ended.status == 0, ended.said
            (folder,) = runs(reports)
            made[name] = content(reports / folder), ended.writes, ended.seconds
        return made[name]

    return of


def aims(writes, seconds, number):
    """Where an attempt is killed the first and the second time."""
    rng = random.Random(number)
    first = {"number": 1 + (writes * (2 * number + 1)) // (2 * ATTEMPTS)}
    if number % 4 == 3:  # anywhere, inside a write as well
        first = {"after": rng.uniform(0.05, 0.95) * seconds}
    return first, {"number": rng.randint(1, writes // 2)}


@pytest.mark.parametrize("number", range(ATTEMPTS))
@pytest.mark.parametrize(
    "name",
    [n if n == "LPM with workers" else pytest.param(n, marks=slow) for n in TRAININGS],
)
def test_a_killed_run_ends_as_if_nothing_had_happened(commands, references, tmp_path, name, number):
    expected, writes, seconds = references(name)
    for turn, aim in enumerate(aims(writes, seconds, number)):
        sent = SIGNALS[(number + turn) % len(SIGNALS)]
        before, torn = runs(tmp_path), set(partials(tmp_path))
        ended = commands.run(TRAININGS[name], tmp_path, sent=sent, **aim)
        if ended.status == 0:  # it was quicker
            continue
        killed[name] += 1
        polite = sent is signal.SIGINT
        assert ended.status == (130 if polite else -sent), ended.said
        assert "Traceback" not in ended.said and before.keys() <= runs(tmp_path).keys()
        if polite:
            assert "command goes on from there" in ended.said
            assert not set(partials(tmp_path)) - torn
            running = {n for n, record in runs(tmp_path).items() if record["status"] == "running"}
            killed_before = {n for n, record in before.items() if record["status"] == "running"}
            assert running <= killed_before  # where it had not come to continue that
            assert not any(f"continuing {folder}" in ended.said for folder in running)
    left = runs(tmp_path)
    begun = {n for n, record in left.items() if record["status"] != "finished"}
    ended = commands.run(TRAININGS[name], tmp_path)
    assert ended.status == 0, ended.said
    after = runs(tmp_path)
    # What was begun is continued, and only where nothing was is a new run begun.
    assert len(after) == len(left) + (not begun) and len(begun) <= 1, (left.keys(), ended.said)
    assert all(f"continuing {folder}" in ended.said for folder in begun)
    assert {record["status"] for record in after.values()} == {"finished"}
    for folder in after:
        assert content(tmp_path / folder) == expected, folder
        log = [json.loads(s) for s in (tmp_path / folder / "log.jsonl").read_text().splitlines()]
        seconds = sum(line["seconds"] for line in log)
        assert after[folder]["train_seconds"] == pytest.approx(seconds)
    assert not [path for folder in begun for path in partials(tmp_path / folder)]


def test_loading_processes_and_a_stop_change_no_number(commands, references, tmp_path):
    """Dropout is drawn alike whether a loader starts with the epoch or goes on."""
    expected, _, _ = references("LPM")
    whole, _, _ = references("LPM with workers")
    assert whole[1:4] == expected[1:4]
    assert commands.run(TRAININGS["LPM with workers"], tmp_path, code=STOP).status == 130
    assert commands.run(TRAININGS["LPM with workers"], tmp_path).status == 0
    (folder,) = runs(tmp_path)
    assert content(tmp_path / folder) == whole


def test_how_many_were_killed():
    print(f"killed: {killed}, {sum(killed.values())} in all")
    assert sum(killed.values()) >= (100 if SLOW else 2)
