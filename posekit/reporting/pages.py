"""Pages to read in a browser: a run's report.html and the index of all runs.

Both are plain HTML made from the run's own records; a report carries its pictures inside and asks
the network for nothing.
"""

import base64
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..files.places import reports_root
from ..files.words import readable
from ..files.writing import write_text
from .run_folder import Run, all_runs, read_record
from .tables import as_text

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --mark: #d55e00; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 66rem; margin: 2rem auto; padding: 0 1rem; }
h1 { line-height: 1.2; margin-bottom: .2rem; } h2 { margin-top: 2.5rem; }
table { border-collapse: collapse; font-size: .9rem; display: block; overflow-x: auto; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; } td.text { text-align: left; }
figure { margin: 1.5rem 0; } figure img { max-width: 100%; height: auto; background: white; }
figcaption { font-size: .9rem; opacity: .8; }
.sample { border-left: .4rem solid var(--mark); padding: .4rem .8rem; background: var(--soft); }
.headline { font-size: 1.3rem; } summary { cursor: pointer; margin: .6rem 0; font-weight: 600; }
pre { background: var(--soft); padding: .8rem; overflow-x: auto; font-size: .8rem; }
td span { white-space: nowrap; } img.thumb { height: 5rem; width: auto; background: white; }
.failed, .interrupted { color: var(--mark); }
"""
_SAMPLE = (
    "Every number and picture here comes from posekit's <b>generated sample</b>, not from "
    "{dataset}: it shows that the machinery works, and says nothing about the data set."
)


def page(title: str, body: str) -> str:
    """A whole HTML document without any outside resource."""
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    return (
        f'<!doctype html><html lang="en"><head>{head}<title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>{body}</body></html>\n"
    )


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
    record = run.record
    title = f"{record['model']} on {run.label}"
    value, metric = headline(record), record["metric"]
    body = [f"<h1>{escape(title)}</h1>", f"<p>{escape(record['paper_title'])}</p>"]
    if run.is_sample:
        body.append(f'<p class="sample">{_SAMPLE.format(dataset=escape(record["dataset"]))}</p>')
    body.append(
        f'<p class="headline"><b>{shown(value)}</b> {escape(metric)}, {escape(run.label)} '
        f"({escape(record['split'])}); mean pose {shown(record['baseline']['mean_pose'])}</p>"
    )
    body.append(f"<p>Protocol: {escape(record['protocol'])}; {record['n_samples']:,} frames.</p>")
    body += [f"<p>Note: {escape(note)}</p>" for note in record["notes"]]
    for heading, frame in tables.items():
        body.append(f"<h2>{escape(heading)}</h2>{table_html(frame)}")
    body.append("<h2>Pictures</h2>")
    body += [figure_html(run.folder / "figures" / f, text) for f, text in record["figures"].items()]
    body.append("<h2>How it was made</h2>")
    log = run.folder / "log.jsonl"
    trained = f"{record['epochs_done']} epochs in {record['train_seconds']:.0f} s"
    work = f", {record['gmacs']:.3f} GMACs a clip" if record["gmacs"] else ""
    body.append(
        f"<p>{record['params_count']:,} parameters{work}; "
        f"{trained if log.exists() else 'only scored, not trained, in this run'}; "
        f"commit {escape(str(record['git_commit']))}.</p>"
    )
    body.append(folded("Network", network))
    body.append(folded("Parameters", (run.folder / "params.yaml").read_text(encoding="utf-8")))
    if log.exists():
        body.append(folded("Training log", log.read_text(encoding="utf-8")))
    environment = (run.folder / "environment.json").read_text(encoding="utf-8")
    body.append(folded("Environment", environment))
    body.append(folded("Code of the notebook", "\n\n".join(cells)))
    path = run.folder / "report.html"
    write_text(path, page(title, "\n".join(body)))
    return path


def table_html(frame: Any) -> str:
    head = "".join(f"<th>{escape(str(c))}</th>" for c in frame.columns)
    kinds = ["" if dtype.kind == "f" else ' class="text"' for dtype in frame.dtypes]
    rows = [
        "".join(f"<td{k}>{escape(v)}</td>" for k, v in zip(kinds, row, strict=True))
        for row in as_text(frame).itertuples(index=False)
    ]
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def figure_html(path: Path, caption: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    kind = path.suffix[1:]
    text = escape(caption)
    image = f'<img alt="{text}" src="data:image/{kind};base64,{data}">'
    return f"<figure>{image}<figcaption>{text}</figcaption></figure>"


def folded(title: str, text: str) -> str:
    return f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"


def build_index(root: Path | None = None) -> Path:
    """Rebuild reports/index.html from every run's metrics.json.

    Runs are grouped by data set, source and metric, because only those can be compared; a failed or
    interrupted run appears as what it is.
    """
    root = root or reports_root()
    groups: dict[tuple[str, str], list[str]] = {}
    folders = [path.parent for path in sorted(root.glob("*/metrics.json"))]
    damaged = [readable(folder.name) for folder in folders if not read_record(folder)]
    for folder, record in all_runs(root):
        sample = " (generated sample)" if record.get("source") == "sample" else ""
        dataset = f"{record.get('dataset', '?')}{sample}"
        groups.setdefault((dataset, record.get("metric", "no score")), []).append(
            _index_row(folder, record, bool(sample))
        )
    body = ["<h1>posekit reports</h1>"]
    if not groups:
        body.append("<p>No run yet. Start one with <code>python3 run.py</code>.</p>")
    head = ",report,score,mean pose,split,parameters,GMACs,epochs,seconds,started,status"
    head = "".join(f"<th>{c}</th>" for c in head.split(","))
    for (dataset, metric), rows in sorted(groups.items()):
        body.append(f"<h2>{escape(dataset)}: {escape(metric)}</h2>")
        body.append(f"<table><tr>{head}</tr>{''.join(rows)}</table>")
    if damaged:
        body.append("<h2>Damaged: metrics.json cannot be read</h2>")
        body.append(f"<p>{'<br>'.join(map(escape, damaged))}</p>")
    root.mkdir(parents=True, exist_ok=True)
    path = root / "index.html"
    write_text(path, page("posekit reports", "\n".join(body)))
    return path


def _index_row(folder: Path, record: dict[str, Any], sample: bool) -> str:
    status = str(record.get("status", "?"))
    network = escape(str(record.get("model", "?"))) + (" (sample)" if sample else "")
    if (folder / "report.html").exists():
        network = f'<a href="./{quote(folder.name)}/report.html">{network}</a>'
    cells = [
        _thumbnail(folder),
        network,
        shown(headline(record)),
        shown(record.get("baseline", {}).get("mean_pose")),
        escape(str(record.get("split", ""))),
        f"{record.get('params_count', 0):,}",
        f"{record.get('gmacs', 0):.2f}",
        f"{record.get('epochs_done', 0):g}",
        f"{record.get('train_seconds', 0):.0f}",
        f"<span>{escape(str(record.get('started', '')).replace('T', ' '))}</span>",
        f'<span class="{escape(status, quote=True)}">{escape(status)}</span>',
    ]
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _thumbnail(folder: Path) -> str:
    pictures = [f for f in sorted((folder / "figures").glob("*.png")) if "predictions" in f.name]
    if not pictures:
        return ""
    source = f"./{quote(folder.name)}/figures/{quote(pictures[0].name)}"
    return f'<img class="thumb" loading="lazy" alt="predictions" src="{source}">'


def headline(record: dict[str, Any]) -> float | None:
    """The one number of a run's metrics.json: AP on COCO, else Mean; None without a score."""
    scores = record.get("metrics", {})
    return scores.get("AP", scores.get("Mean"))


def shown(value: Any) -> str:
    """A score as text: AP with three decimals, percent with one; empty if there is none."""
    if not isinstance(value, int | float) or value != value:
        return ""
    return f"{value:.3f}" if 0 < abs(value) <= 1 else f"{value:.1f}"
