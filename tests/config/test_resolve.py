import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from posekit.config import recipes
from posekit.config import settings as checked
from posekit.config.families import settings_of
from posekit.config.resolve import resolve
from posekit.errors import PosekitError
from posekit.files import paths
from posekit.geometry.skeletons import POSE_MACHINE
from posekit.models import describe

KNOBS = tuple(settings_of("lpm").model_fields)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch, tmp_path):
    """No smoke test, and a data root without data."""
    monkeypatch.delenv("POSEKIT_SMOKE", raising=False)
    monkeypatch.setenv("POSEKIT_DATA", str(tmp_path))


def refusal(namespace, paper="lpm", **options) -> str:
    with pytest.raises(PosekitError) as caught:
        resolve(paper, namespace, **options)
    return str(caught.value)


def test_precedence_and_origins(monkeypatch, tmp_path):
    config = resolve("lpm", {"lr": 0.01})
    assert config.source == "sample" and config.data_root is None
    origins = config.origins
    assert config.settings.lr == 0.01 and origins["lr"] == "you"
    assert config.settings.width == 0.125 and origins["width"] == "sample.yaml"
    assert origins["network"] == "recipe params/lpm/PennAction.yaml"
    assert origins["seed"] == origins["dataset"] == "default"

    monkeypatch.setenv("POSEKIT_SMOKE", "1")
    small = resolve("lpm", {"epochs": 3})
    assert small.settings.epochs == 3 and small.origins["epochs"] == "you"
    assert small.origins["image_size"] == "smoke.yaml"
    assert small.fingerprint() != config.fingerprint()


def test_real_data_take_the_published_recipe(monkeypatch, tmp_path):
    (tmp_path / "penn_action").mkdir()
    config = resolve("lpm", {"dataset": "penn-action"})
    assert (config.source, config.data_root) == ("real", tmp_path)
    assert config.settings.dataset == "PennAction" and config.settings.image_size == (368, 368)
    assert config.settings.width == 1.0 and config.settings.optimiser == "sgd"
    assert resolve("lpm", {"source": "sample"}).source == "sample"

    # The test-suite never starts a full run because the developer has the data.
    monkeypatch.setenv("POSEKIT_SMOKE", "1")
    assert resolve("lpm", {}).source == "sample"
    assert resolve("lpm", {"source": "real"}).settings.width == 1.0


@pytest.mark.parametrize(
    "wish", [{"source": "real"}, {"data_root": "/nowhere"}, {"data_root": "~x"}]
)
def test_missing_real_data_say_what_to_get_and_where_to_put_it(wish):
    message = refusal({"dataset": "LSP", **wish})
    assert "joints_2000.mat" in message and "https://" in message
    assert str(paths.data_root(wish.get("data_root")) / "LSP") in message


def test_relative_data_root_is_found_below_the_current_folder(monkeypatch, tmp_path):
    (tmp_path / "mine" / "mpii").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert resolve("lpm", {"dataset": "MPII", "data_root": "mine"}).data_root == tmp_path / "mine"


@pytest.mark.parametrize(
    ("name", "given_value", "value"),
    [
        ("flip_test", "true", True),
        ("flip_test", "no", False),
        ("lr", "1e-3", 1e-3),
        ("lr", 1, 1.0),
        ("epochs", "7", 7),
        ("epochs", 7.0, 7),
        ("test_scales", "[1, 1.25]", (1.0, 1.25)),
        ("test_scales", 0.9, (0.9,)),
        ("test_frames", "all", "all"),
        ("test_frames", "7", 7),
        ("test_frames", 9, 9),
        ("test_frames", "none", None),
        ("image_size", "96,64", (96, 64)),
        ("image_size", '["96", "64"]', (96, 64)),
        ("image_size", [96, 64], (96, 64)),
        ("optimiser", "AdamW", "adamw"),
        ("init", "none", None),
        ("init", "reports/a", "reports/a"),
        ("dataset", "lsp", "LSP"),
    ],
)
def test_values_are_read_by_declared_type(name, given_value, value):
    config = resolve("lpm", {name: given_value})
    assert getattr(config.settings, name) == value
    assert type(getattr(config.settings, name)) is type(value)
    assert config.origins[name] == "you"


@pytest.mark.parametrize("nothing", [None, "None", "null", ""])
def test_none_means_from_the_recipe(nothing):
    assert resolve("lpm", {"epochs": nothing}).origins["epochs"] == "sample.yaml"


def test_a_knob_that_another_network_has_may_be_left_unset():
    given = {"dataset": "COCO", "source": "sample", "network": "lp_net_50", "attention": None}
    assert resolve("lpn", dict(given)).network == "lp_net_50"
    assert "attention='gc': unknown parameter" in refusal(given | {"attention": "gc"}, "lpn")


def test_every_problem_is_in_one_message():
    message = refusal(
        {
            "epohcs": 3,
            "learning": 1.0,
            "dataset": "PenAction",
            "epochs": True,
            "lr": -1,
            "image_size": [8, 64],
            "scale_range": [2, 1],
            "test_scales": [],
            "optimiser": "lion",
            "flip_prob": float("nan"),
        }
    )
    for part in (
        "epohcs=3: unknown parameter: did you mean epochs?",
        "learning=1.0: unknown parameter: known are dataset, ",
        "did you mean PennAction?",
        "epochs=True: must be a number",
        "lr=-1: must be greater than 0 (base learning rate)",
        "image_size item 0=8: must be greater than or equal to 16",
        "scale_range=[2, 1]: must be [smallest, largest]",
        "test_scales=[]",
        "optimiser='lion': must be 'sgd', 'adam' or 'adamw'",
        "flip_prob=nan",
    ):
        assert part in message
    assert len(message.splitlines()) == 11


@pytest.mark.parametrize("value", ["every", 0, -3, 129])
def test_test_frames_is_all_or_a_number(value):
    assert "must be all, or a number from 1 to 128" in refusal({"test_frames": value})


@pytest.mark.parametrize(
    "network, frames, problem",
    [
        ("lpm", "all", ""),
        ("lpm", 9, ""),
        ("lpm_mobilepose", 9, ""),
        ("lpm_mobilepose", "all", "test_frames=all: lpm_mobilepose cannot carry a state: it"),
        ("cpm", "all", "test_frames=all: cpm cannot carry a state"),
        ("lpm_mobilepose_unshared", 9, "has weights for clips of 5 frames"),
    ],
)
def test_a_network_that_cannot_be_tested_so_is_refused_before_any_work(network, frames, problem):
    given = {"source": "sample", "network": network, "frames": 5, "test_frames": frames}
    settings = resolve("lpm", given | {"image_size": [64, 64], "width": 0.0625}).settings
    about = describe(network)
    if problem:
        with pytest.raises(PosekitError, match=problem):
            settings.check_shapes(POSE_MACHINE)
    else:
        settings.check_shapes(POSE_MACHINE)
        lengths = settings.clip_length(about), settings.clip_length(about, testing=True)
        assert lengths == (5, frames)


def test_names_of_python_and_papermill_are_no_parameters():
    namespace = {
        "In": [],
        "Out": {},
        "_i1": "x",
        "pytest": pytest,
        "resolve": resolve,
        "Settings": checked.Settings,
    }
    resolve("lpm", {**namespace, "PAPERMILL_OUTPUT_PATH": "out.ipynb"})


def test_second_call_in_a_kernel_refuses_only_misspelt_knobs():
    namespace = {"epochs": 2}
    resolve("lpm", namespace)
    namespace |= {"people": 3, "table": []}
    resolve("lpm", namespace)
    resolve("lpm", {"people": 3, checked._CHECKED_MARK: True})
    assert "people" in refusal({"people": 3})
    namespace["batchsize"] = 3
    assert "did you mean batch_size?" in refusal(namespace)


def test_paper_without_recipe_names_those_there_are():
    assert "lpm has those of LSP, MPII, PennAction" in refusal({"dataset": "COCO"})
    variants = "recipes of lpm on LSP are paper, mobilepose"
    assert variants in refusal({"dataset": "LSP", "recipe": "nosuch"})
    assert "unknown paper 'nosuch': there are cpm, hourglass" in refusal({}, paper="nosuch")


def test_broken_recipe_names_file_and_field(monkeypatch, tmp_path):
    folder = tmp_path / "params" / "lpm"
    folder.mkdir(parents=True)
    monkeypatch.setattr(recipes, "project_root", lambda: tmp_path)
    (folder / "PennAction.yaml").write_text("epochs: [1\n")
    assert "params/lpm/PennAction.yaml is not readable YAML" in refusal({"source": "sample"})
    (folder / "PennAction.yaml").write_text("epochs: 1\nepoch: 2\n")
    (folder / "sample.yaml").write_text("width: 0.0\n")
    assert "params/lpm/PennAction.yaml: network: has no value" in refusal({"source": "sample"})
    (folder / "PennAction.yaml").write_text("network: lpm\nepoch: 2\n")
    message = refusal({"source": "sample"})
    assert "(PennAction.yaml, sample.yaml)" in message and "epochs: has no value" in message
    assert "epoch=2: unknown parameter: did you mean epochs?" in message
    assert "width=0.0: must be greater than 0" in message


def test_a_variant_starts_from_its_base(monkeypatch, tmp_path):
    folder = tmp_path / "params" / "lpm"
    folder.mkdir(parents=True)
    monkeypatch.setattr(recipes, "project_root", lambda: tmp_path)
    (folder / "LSP.yaml").write_text("epochs: 7\nlr: 0.5\n")
    (folder / "LSP-mine.yaml").write_text("base: LSP.yaml\nlr: 0.25\n")
    assert recipes.read_recipe("lpm", "LSP-mine.yaml") == {"epochs": 7, "lr": 0.25}
    for file, base in (("LSP-a.yaml", "LSP-mine.yaml"), ("LSP.yaml", "LSP.yaml")):
        (folder / file).write_text(f"base: {base}\n")
        with pytest.raises(PosekitError, match=f"params/lpm/{file}: base={base}"):
            recipes.read_recipe("lpm", file)
    (folder / "LSP-b.yaml").write_text("base: COCO.yaml\n")
    with pytest.raises(PosekitError, match="no recipe params/lpm/COCO.yaml"):
        recipes.read_recipe("lpm", "LSP-b.yaml")


def test_none_is_a_value_where_it_is_one_of_the_choices():
    config = resolve("lpm", {"occlusion": "None", "init": "none"})
    assert config.settings.occlusion == "none" and config.origins["occlusion"] == "you"
    assert resolve("lpm", {"occlusion": None}).origins["occlusion"] == "default"


def test_text_is_the_same_on_every_machine(tmp_path):
    one = resolve("lpm", {"init": str(tmp_path / "run"), "device": "cpu", "workers": 3})
    two = resolve("lpm", {"init": "/elsewhere/run"})
    assert one.text() == two.text() and str(tmp_path) not in one.text()
    assert [row[0] for row in one.table()] == list(KNOBS)


def test_fingerprint_follows_what_changes_the_numbers():
    plain = resolve("lpm", {}).fingerprint()
    same = {"device": "cpu", "workers": 2, "resume": "never", "tensorboard": True, "epochs": 11}
    assert resolve("lpm", same).fingerprint() == plain
    for change in ({"seed": 1}, {"epochs": 13}, {"dataset": "LSP"}, {"recipe": "mobilepose"}):
        assert resolve("lpm", change).fingerprint() != plain


@profile(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(KNOBS), st.one_of(st.text(), st.floats(), st.booleans())))
def test_any_value_is_taken_or_refused_in_words(values):
    try:
        config = resolve("lpm", dict(values))
    except PosekitError as error:
        assert str(error)
    else:
        assert config.table() == resolve("lpm", dict(values)).table()


def test_published_scores():
    rows = recipes.published("lpm", "penn_action")
    own = next(row for row in rows if row["metric"] == "PCK@0.2 box")
    assert (own["method"], own["mean"], own["wrist"]) == ("LPM", 97.73, 96.55)
    partial = [r for r in recipes.published("cpm", "MPII") if r["head"] is None]
    assert [row["mean"] for row in partial] == [87.9, 87.6]
    assert recipes.published("lpm", "COCO") == []


def test_a_network_of_another_paper_is_filed_under_its_own():
    config = resolve("hrnet", {"dataset": "COCO", "source": "sample", "network": "lpn_50"})
    assert config.paper == "lpn" and config.settings.attention == "gc"
    assert "width" in config.origins and config.origins["attention"] == "default"
    assert "choose one of cpm" in refusal({"network": "hrnet_w32"})


def test_what_is_printed_is_what_differs_from_the_recipe():
    text = resolve("lpm", {"lr": 0.5}).text()
    assert "lr " in text and "you" in text and "sample.yaml" in text and "momentum" not in text
    assert "more knobs as in recipe params/lpm/PennAction.yaml" in text.splitlines()[-1]


def test_the_sources_of_a_recipe_are_its_comments():
    assert recipes.recipe_sources("lpm", "PennAction.yaml")["lr"] == "(release)"
