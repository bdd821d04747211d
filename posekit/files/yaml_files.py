"""Files of settings in YAML."""

from pathlib import Path
from typing import Any

import yaml

from .reading import read_file, reading

_LARGEST = 2**20  # bytes


class _Plain(yaml.SafeLoader):
    """YAML without aliases, by which a few lines unfold into gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it has aliases (*name): write the values out")
        return super().compose_node(parent, index)


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a file of `name: value` lines.

    Raises:
        PosekitError: the file is missing, damaged, too large, or holds something else.
    """
    with reading(path, "readable YAML"):
        values = yaml.load(read_file(path, "file of settings", _LARGEST), _Plain)
        if not isinstance(values, dict):
            raise ValueError("it holds no `name: value` lines")
        return {str(name): value for name, value in values.items()}
