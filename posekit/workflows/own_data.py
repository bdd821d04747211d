"""The steps of notebooks/train_own.ipynb that are about data of the reader's own.

The others are those of `workflows.training`.
"""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
import pandas as pd

from .. import data
from ..config.knobs import Positive
from ..config.machine import choose_machine
from ..config.recipes import read_recipe
from ..config.resolve import Config, resolve
from ..config.settings import Settings, early, knob, refuse
from ..data.own.spec import animal, define
from ..data.sample import ensure_sample
from ..data.suspects import suspects
from ..files.words import near
from ..inference.evaluate import mean_pose
from ..inference.images import Keypoints
from ..models import cost, describe
from ..reporting import figures
from ..reporting.record import all_runs
from ..weights.onnx_export import export_onnx
from .training import build, curves, evaluate, finish, load, train
from .training.experiment import Experiment
from .training.loading import splits
from .training.opening import begin_training

TITLE = "the train_own notebook cannot run with this:"
NETWORK = "hourglass_1"  # narrow on a CPU
_PACE = {"cpu": 7.0, "other": 900.0}  # GMACs of crops that are trained on in a second
_BATCH = 8
_FEWEST, _MOST = 4, 300  # epochs


class OwnKnobs(Settings):
    """Whose data, beside the knobs of training."""

    annotations: str | None = knob("COCO json, DeepLabCut csv, SLEAP slp; None: an animal", None)
    images: str | None = knob("their folder; by default that of the file", None)
    category: str | None = knob("of the json, where several have keypoints", None)
    mirror: str | None = knob("left and right: `a b, c d`; from the names", None)
    links: str | None = knob("joints to draw lines between, likewise", None)
    sigmas: tuple[Positive, ...] = knob("of OKS, one or one a joint", ())
    by: Literal["auto", "image", "video"] = knob("what the test part never shares", "auto")
    minutes: Positive = knob("about so long it trains, if epochs is not set", 5.0)
    network: str = knob("a name of posekit.list_models(), or my_module:MyNet", NETWORK)


def start(namespace: MutableMapping[str, Any], recipe: str | None = None) -> Experiment:
    """Look into the file, scale the network's recipe to it, and open the run folder.

    Args:
        namespace: the notebook's `globals()`.
        recipe: the paper whose recipe is taken; by default the network's own.

    Raises:
        PosekitError: what is wrong with the file or the parameters, before any work.
    """
    asked, names = early(OwnKnobs, namespace, TITLE), OwnKnobs.model_fields
    hints = {n: near(n, names, 0.8) for n in namespace.keys() - names.keys() if n[0] != "_"}
    refuse(TITLE, [f"{n}: unknown parameter{hint}" for n, hint in hints.items() if hint])
    own = {n: getattr(asked, n) for n in OwnKnobs.model_fields if n not in ("minutes", "network")}
    made = define(**own) if asked.annotations else animal()
    hidden = dict(namespace) | dict.fromkeys(names)
    paper = recipe or describe(asked.network).recipe.partition("/")[0]
    hidden |= {"dataset": made.address, "network": asked.network}
    config = resolve(paper, hidden)
    namespace |= {n: v for n, v in hidden.items() if n not in namespace}  # that it was checked
    return begin_training(scaled(config, paper, asked.minutes))


def scaled(config: Config, paper: str, minutes: float) -> Config:
    """A recipe for so many instances and so much time, in what the reader has not set.

    The recipe takes the changes of `sample.yaml`, which were found for few images and minutes; on
    an accelerator the network keeps its width and crops their size. Crops are square. The number of
    epochs follows from minutes, instances and the network's cost, and not from the machine's mood:
    an interrupted run has to find itself again.
    """
    if config.smoke:
        return config
    settings, origins = config.settings, dict(config.origins)
    spec, kind = data.dataset(settings.scored), type(settings)
    root = config.data_root or ensure_sample(settings.scored)
    people = len(spec.annotations(spec.need(root), "train"))
    device = "cpu" if choose_machine(settings.device, "fp32", 0).device.type == "cpu" else "other"
    kept = () if device == "cpu" else ("width", "image_size")
    changes = {n: v for n, v in read_recipe(paper, "sample.yaml").items() if n not in kept}
    why = dict.fromkeys(changes, "sample.yaml: few images, minutes")
    changes["batch_size"], why["batch_size"] = _BATCH, "more steps in a short training"
    changes["precision"], why["precision"] = "fp32", "numbers that compare across machines"
    size = changes.get("image_size", settings.image_size)
    changes["image_size"], why["image_size"] = (max(size),) * 2, "square, for any posture"

    def take() -> Any:
        mine = {n: v for n, v in changes.items() if origins.get(n, "you") != "you"}
        origins.update({n: why[n] for n in mine})
        return kind.made(settings.model_dump() | mine, TITLE)

    now = take()
    about = describe(now.network)
    work = cost(now.shapes_only(spec.skeleton), *now.one_clip(about)).gmacs * people * now.rounds
    epochs = int(np.clip(round(60 * minutes * _PACE[device] / work), _FEWEST, _MOST))
    changes |= {"epochs": epochs, "eval_every": max(1, epochs // 8)}
    why |= dict.fromkeys(("epochs", "eval_every"), f"{people} instances, {minutes:g} minutes")
    return replace(config, settings=take(), origins=origins)


def joints(exp: Experiment) -> pd.DataFrame:
    """The joints, their partners in the mirror image, and how many are annotated; kept."""
    people, skeleton = exp.train.people, exp.train.people.skeleton
    partner = [skeleton.joints[i] if i != j else "" for j, i in enumerate(skeleton.flip)]
    columns = {
        "joint": skeleton.joints,
        "mirror image": partner,
        "annotated %": (100 * people.visible.mean(0)).round(1),
    }
    return exp.run.keep("Joints", pd.DataFrame(columns))


def suspicious(exp: Experiment, most: int = 12) -> Any:
    """A figure of annotations that are worth a second look; all go into suspects.csv of the run."""
    tables = splits(exp)
    parts = [suspects(tables[part]).assign(part=part) for part in ("train", "val", "test")]
    found = pd.concat(parts, ignore_index=True)
    if not len(found):
        return "no annotation looks wrong"
    found.to_csv(exp.run.folder / "suspects.csv", index=False)
    counts = pd.crosstab(found["suspicion"], found["part"]).reset_index()
    print(exp.run.keep("Worth a second look", counts).to_string(index=False))
    shown = found.groupby("suspicion", sort=False).head(max(1, most // 4)).head(most)
    people = [tables[one.part].rows(np.array([one.row])) for one in shown.itertuples()]
    figure = figures.skeleton_grid(
        [one.read(0) for one in people],
        [one.keypoints[0] for one in people],
        [one.visible[0] for one in people],
        exp.train.people.skeleton,
        f"Worth a second look: {exp.run.label}",
        min(6, len(shown)),
        [f"{one.image}\n{one.suspicion}: {one.where}" for one in shown.itertuples()],
    )
    return exp.run.figure("1-suspicious", figure, "Annotations that look wrong; all are used.")


def errors(exp: Experiment) -> pd.DataFrame:
    """How far each joint is from its annotation, of this network and of the mean pose; kept."""
    people, side = exp.test.people, exp.test.people.reference[:, None]
    columns = {}
    poses = {"": exp.predictions.keypoints, " of the mean pose": mean_pose(exp.train, exp.test)}
    for name, keypoints in poses.items():
        away = np.linalg.norm(keypoints - people.keypoints, axis=-1)
        seen = np.where(people.visible, away, np.nan)
        columns[f"median error{name}, px"] = np.nanmedian(seen, 0)
        columns[f"median error{name}, % of the box"] = np.nanmedian(100 * seen / side, 0)
    table = pd.DataFrame(columns, pd.Index(people.skeleton.joints, name="joint")).round(1)
    return exp.run.keep("Errors by joint", table.reset_index())


def trained(
    shared: Mapping[str, Any], widths: Mapping[str, float], recipe: str
) -> list[Experiment]:
    """Train and score networks of these widths by one recipe, for `compared`.

    Args:
        shared: parameters of all of them.
        widths: of networks of `posekit.list_models()`.
        recipe: the paper whose recipe they take.
    """
    done = []
    for name, width in widths.items():
        exp = start({**shared, "network": name, "width": width}, recipe)
        print(exp.run.folder.name)
        for step in (load, build, train, curves, evaluate, finish):
            step(exp)
        done.append(exp)
    return done


def compared(runs: Sequence[Experiment]) -> pd.DataFrame:
    """What networks cost and score, on the same instances; the mean pose in the last row."""
    rows = [
        {"network": one.model, "parameters": one.params_count, "GMACs": round(one.gmacs, 3)}
        | {"epochs": one.epochs_done, "seconds": round(one.train_seconds), **one.metrics}
        for one in (exp.run.record for exp in runs)
    ]
    mean = {"network": "mean pose", "Mean": runs[0].run.record.baseline["mean_pose"]}
    return pd.DataFrame([*rows, mean]).dropna(axis=1, how="all").round(3)


def gain(exp: Experiment) -> pd.DataFrame:
    """This run beside finished ones of the network on the same data: from scratch, or weights."""
    names = ("model", "dataset", "source", "split", "metric", "data_stamp")
    rows = [
        {"run": folder.name, "from": one.started_from or "scratch", "epochs": one.epochs_done}
        | one.metrics
        for folder, one in all_runs()
        if all(getattr(one, n) == getattr(exp.run.record, n) for n in names)
        and (one.status == "finished" or folder == exp.run.folder)
    ]
    return exp.run.keep("From scratch and from weights", pd.DataFrame(rows))


def hand_over(exp: Experiment) -> None:
    """Write the test predictions in every form, and the network as ONNX.

    In the run folder: keypoints.json (COCO's form), keypoints.csv (a row a joint),
    keypoints-deeplabcut.csv, and .h5 (where PyTables is installed), keypoints.slp (where h5py is),
    NETWORK.onnx.
    """
    people, found, folder = exp.test.people, exp.predictions, exp.run.folder
    skeleton, number = exp.test.skeleton, np.arange(len(people))
    every = Keypoints(found.keypoints, found.scores, people.boxes, people.image, number, skeleton)
    forms = {"keypoints.json": "coco", "keypoints.csv": "table"}
    forms |= {"keypoints-deeplabcut.csv": "deeplabcut"}
    forms |= {"keypoints.slp": "sleap"} if find_spec("h5py") else {}
    forms |= {"keypoints-deeplabcut.h5": "deeplabcut"} if find_spec("tables") else {}
    for file, form in forms.items():
        every.save(folder / file, form)
    if find_spec("onnx"):
        path, size = folder / f"{exp.about.name}.onnx", exp.settings.image_size
        print(export_onnx(exp.task.model, path, size, skeleton.name))
