"""Settings that files keep: run folders in params.yaml, weight files in their metadata."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..config.families import TestingSettings, TrainingSettings, settings_of
from ..config.recipes import recipe_of_network
from ..data import DATASETS
from ..errors import PosekitError
from ..files.paths import existing_path, named_size
from ..files.yaml_files import load_yaml
from ..geometry.skeletons import skeleton
from ..models import options_of
from ..weights import read_metadata, read_weights
from ..weights.identify import match_network

# Beside the network's options, what a weight file notes of the settings that it was trained with.
NOTED = {
    *("dataset", "image_size", "box_padding", "sigma", "centre_sigma", "decoder", "shift_heatmap")
}


def noted_settings(settings: TestingSettings) -> dict[str, str]:
    """What a weight file notes of the settings, as its metadata."""
    names = NOTED | options_of(settings.network).keys()
    noted = settings.model_dump(mode="json") | {"dataset": settings.scored}
    values = {n: v for n, v in noted.items() if n in names}
    return {name: v if isinstance(v, str) else json.dumps(v) for name, v in values.items()}


def usual_settings(
    network: str,
    dataset: str | None = None,
    changes: Mapping[str, Any] | None = None,
    title: str | None = None,
) -> TestingSettings:
    """The settings that a network is tested with by its own paper's recipe.

    Args:
        network: of the registry.
        dataset: whose recipe; None, or one that there is none for, takes the usual one.
        changes: values in place of the recipe's.
        title: first line of the error.

    Raises:
        PosekitError: naming every value that is impossible.
    """
    kind = settings_of(network, training=False)
    trained_on, values = recipe_of_network(network, dataset)
    values |= {"dataset": trained_on, **(changes or {})}
    known = {name: value for name, value in values.items() if name in kind.model_fields}
    return kind.made(known, title or f"{network} cannot be tested with this:")


def run_settings(folder: Path) -> TrainingSettings:
    """The settings of a training run as its folder holds them, without the weights it began with.

    Raises:
        PosekitError: params.yaml is missing or damaged, or holds an impossible value.
    """
    path = folder / "params.yaml"
    try:
        values = load_yaml(path) | {"init": None}
        return settings_of(str(values.get("network"))).made(values, "these values are refused:")
    except (ValueError, TypeError, RecursionError) as error:
        reason = str(error)[:1000]
        raise PosekitError(f"{path} cannot be used, copy the run folder again: {reason}") from error


def tested(settings: TrainingSettings) -> TestingSettings:
    """The settings that a trained network is tested with, on the data set of its score."""
    kind = settings_of(settings.network, training=False)
    values = {name: getattr(settings, name) for name in kind.model_fields}
    values |= {"dataset": settings.scored, "score_on": None, "train_set": "train"}
    return kind.model_validate(values)


def file_settings(
    network: str, path: Path, dataset: str | None = None, known: Mapping[str, Any] | None = None
) -> TestingSettings:
    """The usual settings of a network with what a weight file says, in name, metadata and tensors.

    Args:
        network: of the registry.
        path: the file.
        dataset: whose recipe; None for what the file says, else the usual one.
        known: what the reader knows where the file does not say it, such as width and trained_on.

    Raises:
        PosekitError: the file cannot be read, or its metadata make no network.
    """
    names = NOTED | options_of(network).keys()
    said = dict(known or {}) | {"image_size": named_size(path)}
    said = {name: value for name, value in said.items() if value and name in names}
    noted = said | {k: _value(v) for k, v in read_metadata(path).items() if k in names}
    trained_on = noted.pop("dataset", None)
    if dataset is None and trained_on in list(DATASETS):
        dataset = trained_on
    title = f"{path}: its metadata make no network, write the file again with save_weights:"
    width = usual_settings(network, dataset, noted, title).options().get("width")
    seen = match_network(tensors_of(path), [network], width=width).options
    return usual_settings(network, dataset, seen | noted, title)


def noted_skeleton(path: Path) -> str | None:
    """The name of the joints in the metadata of a weight file, None where it does not say.

    Raises:
        PosekitError: there is no such skeleton.
    """
    if (name := read_metadata(path).get("skeleton")) is None:
        return None
    try:
        return skeleton(name).name
    except PosekitError as error:
        raise PosekitError(
            f"{path}: its metadata say skeleton={name[:40]!r}: {error}: write the file again with "
            "save_weights"
        ) from None


def weights_path(given: str) -> Path:
    """The path of a weight file or run folder, below the current folder or else the project.

    Raises:
        PosekitError: there is no such thing.
    """
    path = existing_path(given.strip())
    if not path.exists():
        raise PosekitError(f"weights={given}: there is no such file or run folder")
    return path


def home_of(skeleton: str | None) -> str | None:
    """The data set whose own joints these are."""
    return next((name for name, spec in DATASETS.items() if spec.skeleton.name == skeleton), None)


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file under the network's own names; none where only `convert` knows them."""
    return {} if path.suffix.lower() == ".caffemodel" else read_weights(path).tensors


def _value(text: str) -> Any:
    """A value that was stored as text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
