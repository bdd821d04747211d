"""What weight files say of their networks, checked: metadata of .safetensors and of ONNX files."""

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ..errors import PosekitError
from ..geometry.skeletons import SKELETONS
from ..models import Description


def _known(skeleton: str) -> str:
    if skeleton not in SKELETONS:
        raise ValueError(f"choose one of {', '.join(SKELETONS)}")
    return skeleton


_LARGEST = 1e30  # float32 ends near here
Mean = Annotated[float, Field(gt=-_LARGEST, lt=_LARGEST)]
Deviation = Annotated[float, Field(gt=0, lt=_LARGEST)]


class WeightsMetadata(BaseModel):
    """What `save_weights` notes in a .safetensors file, as far as it is of use to identify it.

    Attributes:
        model: name of the network.
        width: multiplier on its channels.
        run: name of the run folder.
    """

    model: str | None = None
    width: Annotated[float, Field(gt=0, le=8)] | None = None
    run: str | None = None

    @classmethod
    def checked(cls, noted: Mapping[str, str], path: Path) -> "WeightsMetadata":
        """The metadata of a file.

        Raises:
            PosekitError: an impossible width.
        """
        try:
            return cls.model_validate(noted)
        except ValidationError as error:
            raise PosekitError(
                f"{path}: its metadata say {mistakes(error)}: write it again with save_weights"
            ) from None


@dataclass(frozen=True)
class _StoredDescription(Description):
    """A description that a file may hold; the types of the other fields are checked as well."""

    __pydantic_config__ = ConfigDict(strict=True, allow_inf_nan=False, extra="ignore")

    skeleton: Annotated[str, AfterValidator(_known)] | None = None
    colour: Literal["RGB", "BGR"] = "RGB"
    mean: tuple[Mean, Mean, Mean] = Description.mean
    std: tuple[Deviation, Deviation, Deviation] = Description.std


def checked_description(values: Mapping[str, Any], path: Path) -> Description:
    """A description from the metadata of a file.

    Args:
        values: fields of `Description`; others are left out.
        path: the file, for messages.

    Raises:
        PosekitError: a value is of the wrong type or impossible.
    """
    values = {n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}
    try:
        found = TypeAdapter(_StoredDescription).validate_python(values)
    except ValidationError as error:
        raise PosekitError(
            f"{path}: its description cannot be used: {mistakes(error)}: export it again, or set "
            "the right values"
        ) from None
    about = Description(**{field.name: getattr(found, field.name) for field in fields(Description)})
    joints = len(SKELETONS[about.skeleton]) if about.skeleton else 0
    if joints and about.num_keypoints not in (0, joints):
        raise PosekitError(
            f"{path}: the skeleton {about.skeleton} has {joints} joints, the network "
            f"{about.num_keypoints}: set the right skeleton"
        )
    return about


def mistakes(error: ValidationError) -> str:
    """The fields that pydantic refuses, with what is wrong with each."""
    return "; ".join(
        f"{'.'.join(map(str, e['loc']))}={reprlib.repr(e.get('input'))}: {e['msg']}"
        for e in error.errors(include_url=False)
    )
