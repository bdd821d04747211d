"""What weight files say of their networks, checked: metadata of .safetensors and of ONNX files."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model

from ..errors import PosekitError
from ..files.words import mistakes
from ..geometry.skeletons import SKELETONS, skeleton
from ..models import Description


class WeightsMetadata(BaseModel):
    """What `save_weights` notes in a .safetensors file, as far as it helps to identify it.

    Attributes:
        model: name of the network.
        width: multiplier on its channels.
        run: name of the run folder.
    """

    model: str | None = None
    width: Annotated[float, Field(gt=0, le=8)] | None = None
    run: str | None = None


def _known(name: str) -> str:
    return skeleton(name).name


_Mean = Annotated[float, Field(gt=-1e30, lt=1e30)]  # float32 ends near here
_Deviation = Annotated[float, Field(gt=0, lt=1e30)]
# Stricter than the types of the fields, which are checked as they are otherwise.
_LIMITS = {
    "skeleton": Annotated[str, AfterValidator(_known)] | None,
    "stem": Annotated[str, Field(pattern=r"^[a-z0-9_]*$")],  # names folders
    "recipe": Annotated[str, Field(pattern=r"^[a-z0-9_/]*$")],
    "family": Literal["pose_machine", "top_down"],
    "colour": Literal["RGB", "BGR"],
    "mean": tuple[_Mean, _Mean, _Mean],
    "std": tuple[_Deviation, _Deviation, _Deviation],
}
StoredDescription = create_model(
    "StoredDescription",
    __config__=ConfigDict(strict=True, allow_inf_nan=False),
    **{f.name: (_LIMITS.get(f.name, f.type), ...) for f in fields(Description)},
)


def checked(model: type[BaseModel], values: Mapping[str, Any], path: Path) -> Any:
    """Metadata of a file as a pydantic model.

    Raises:
        PosekitError: a value is of the wrong type or impossible.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise PosekitError(
            f"{path}: its metadata say {mistakes(error)}: set it right, or write the file again "
            "with posekit"
        ) from None


def checked_description(values: Mapping[str, Any], path: Path) -> Description:
    """The description in the metadata of an ONNX file, given all fields of a `Description`.

    Raises:
        PosekitError: a value is of the wrong type or impossible.
    """
    values = {n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}
    about = Description(**checked(StoredDescription, values, path).model_dump())
    joints = len(SKELETONS[about.skeleton]) if about.skeleton else 0
    if joints and about.num_keypoints not in (0, joints):
        raise PosekitError(
            f"{path}: the skeleton {about.skeleton} has {joints} joints, the network "
            f"{about.num_keypoints}: set the right skeleton"
        )
    return about
