"""Pages to read in a browser: a run's report.html and the index of all runs.

They are rendered from the templates beside this module; whatever comes from records is escaped. A
report carries its images inside and makes no network request.
"""

import base64
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..files.places import reports_root
from ..files.words import readable
from ..files.writing import write_text
from .record import FILE, RunRecord, read_record
from .run_folder import Run
from .tables import as_text


def shown(value: float | None) -> str:
    """A score as text: AP with three decimals, percent with one; empty if there is none."""
    if value is None or value != value:
        return ""
    return f"{value:.3f}" if 0 < abs(value) <= 1 else f"{value:.1f}"


_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {
    "as_text": as_text,
    "base64": lambda path: base64.b64encode(path.read_bytes()).decode(),
    "quoted": lambda name: quote(os.fsencode(name)),
    "shown": shown,
}


def write_page(path: Path, template: str, **values: Any) -> Path:
    """Render a template to a file.

    Args:
        path: of the page.
        template: a file in posekit/reporting/templates/.
        values: what the template uses.

    Returns:
        The path.
    """
    write_text(path, _TEMPLATES.get_template(template).render(values))
    return path


def write_report(run: Run, tables: dict[str, Any], network: str, cells: list[str]) -> Path:
    """Write report.html from the run's records.

    Args:
        run: the run, with its scores and figures.
        tables: heading -> DataFrame.
        network: the network's table as text.
        cells: source of the notebook's code cells, folded away at the end.

    Returns:
        The path of report.html.
    """
    files = {
        heading: (run.folder / name).read_text(encoding="utf-8")
        for heading, name in (
            ("Parameters", "params.yaml"),
            ("Training log", "log.jsonl"),
            ("Environment", "environment.json"),
        )
        if (run.folder / name).exists()
    }
    return write_page(
        run.folder / "report.html",
        "report.html",
        title=f"{run.record.model} on {run.label}",
        record=run.record,
        folder=run.folder,
        tables=tables,
        trained="Training log" in files,
        sources={"Network": network, **files, "Code of the notebook": "\n\n".join(cells)},
    )


def build_index(root: Path | None = None) -> Path:
    """Rebuild reports/index.html from every run's metrics.json.

    Runs are grouped by data set, source and metric, because only those can be compared, the newest
    first; a run that was killed appears as interrupted, a damaged record as a line that says so.
    """
    root = root or reports_root()
    folders = [path.parent for path in sorted(root.glob(f"*/{FILE}"))]
    records = [(folder, read_record(folder)) for folder in folders]
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    runs = [(folder, record) for folder, record in records if record]
    for folder, record in sorted(runs, key=lambda run: run[1].started, reverse=True):
        group = record.label or "?", record.metric or "no score"
        groups.setdefault(group, []).append(_row(folder, record))
    root.mkdir(parents=True, exist_ok=True)
    return write_page(
        root / "index.html",
        "index.html",
        title="posekit reports",
        groups=sorted(groups.items()),
        damaged=[readable(folder.name) for folder, record in records if record is None],
    )


def _row(folder: Path, record: RunRecord) -> dict[str, Any]:
    images = sorted(path.name for path in folder.glob("figures/*predictions*.png"))
    return {
        "name": folder.name,
        "record": record,
        "has_report": (folder / "report.html").exists(),
        "thumbnail": images[0] if images else None,
    }
