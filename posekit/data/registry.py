"""The registry of data sets, which other packages may add to."""

import re

from ..errors import PosekitError
from ..files.paths import imported
from ..files.words import near, plain
from ..geometry.skeletons import SKELETONS
from .dataset import DataSet
from .own.spec import ENDINGS, own_dataset

DATASETS: dict[str, DataSet] = {}
_ADDRESSES: dict[str, str] = {}  # name -> my_module:SPEC, of those from outside


def register(spec: DataSet) -> DataSet:
    """Make a data set known by its name; a second one of the same name takes its place.

    Raises:
        PosekitError: it is no specification, or its name or skeleton cannot be told from others.
    """
    if not isinstance(spec, DataSet):
        raise PosekitError(f"a data set is a posekit.data.DataSet, not a {type(spec).__name__}")
    taken = {plain(name): name for name in DATASETS}.get(plain(spec.name), spec.name)
    if not re.fullmatch(r"[A-Za-z][\w-]*", spec.name, re.ASCII) or taken != spec.name:
        raise PosekitError(
            f"data set {spec.name!r}: choose a name of letters, digits, - and _ that differs from "
            f"those of other data sets in more than case and punctuation ({', '.join(DATASETS)})"
        )
    known = SKELETONS.setdefault(spec.skeleton.name, spec.skeleton)
    if known.joints != spec.skeleton.joints:
        problem = f"the skeleton {known.name!r} exists with other joints"
        raise PosekitError(f"data set {spec.name}: {problem}: give it another name")
    DATASETS[spec.name] = spec
    return spec


def dataset(name: str) -> DataSet:
    """Look a data set up by name, letter case and punctuation forgiven.

    Args:
        name: of a registered data set, or `my_module:SPEC` for a specification that a module
            outside the package holds, or a file of labels, or the definition that `address` gives
            of one: it is registered then.

    Raises:
        PosekitError: there is no such data set.
    """
    name = str(name)
    if name.startswith("{") or name.lower().endswith(ENDINGS):
        spec = register(own_dataset(name))
        _ADDRESSES[spec.name] = spec.read.args[0].address
        return spec
    if ":" in name:
        spec = register(imported("data set", name))
        _ADDRESSES[spec.name] = name
        return spec
    for spec in DATASETS.values():
        if plain(spec.name) == plain(name):
            return spec
    known = f"{near(name, DATASETS) or ':'} known are {', '.join(DATASETS)}"
    raise PosekitError(f"unknown dataset {name!r}{known}, and your own as my_module:SPEC")


def datasets(name: str) -> list[DataSet]:
    """The data sets of a name: one, or several with + between them, each once."""
    return list({spec.name: spec for spec in map(dataset, str(name).split("+"))}.values())


def dataset_name(name: str) -> str:
    """The canonical name of one or several data sets, however it is written."""
    return "+".join(spec.name for spec in datasets(name))


def address(name: str) -> str:
    """The name that another process finds data sets by: `my_module:SPEC` of one from outside."""
    return "+".join(_ADDRESSES.get(spec.name, spec.name) for spec in datasets(name))
