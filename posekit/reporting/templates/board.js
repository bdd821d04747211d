"use strict";
// The board: rows of runs, grouped by protocol, as only scores of one protocol can be compared.
const { runs, knobs, made } = JSON.parse(document.getElementById("data").textContent);
const find = (selector) => document.querySelector(selector);
const filters = find("#filters").elements;
const PAGE = 50;
const view = { sort: "started", rising: false, limit: PAGE, ticked: new Set() };

const COLUMNS = [ // heading, key to sort by, what a row shows; "wide" ones need room
  ["run", "title"],
  ["score", "score"],
  ["parameters", "params_count", (run) => amount(run.params_count), "wide"],
  ["GMACs", "gmacs", (run) => run.gmacs ? run.gmacs.toPrecision(3) : "", "wide"],
  ["epochs", "epochs_done", (run) => run.epochs_done || "", "wide"],
  ["time", "train_seconds", (run) => duration(run.train_seconds), "wide"],
  ["started", "started", (run) => run.started.replace("T", " ").slice(0, 16), "wide"],
  ["status", "status"],
];

for (const run of runs) {
  run.title = run.model || run.paper || run.name;
  run.recipeName = run.recipe.replace(".yaml", "");
  run.about = run.answer || [run.trained_on && `trained on ${run.trained_on}`, run.recipeName, ...run.changed]
    .filter(Boolean).join(" · ");
  run.states = [run.status, run.smoke && "smoke", run.sample && "sample",
    run.trained === false && "untrained"].filter(Boolean);
  run.words = [run.title, run.name, run.protocol, run.about, ...run.states, ...run.notes]
    .join(" ").toLowerCase();
}

function make(tag, content, attributes = {}) {
  const element = Object.assign(document.createElement(tag), attributes);
  element.append(...[content].flat().filter((part) => part || part === 0));
  return element;
}

const amount = (number) => number ? number.toLocaleString("en") : "";
const scoreOf = (run, score) => score === null || score === undefined ? "–" : score.toFixed(run.decimals);
const distinct = (values) => [...new Set(values.filter(Boolean))].sort();
const percent = (run, score) => Math.max(0, Math.min(100, run.decimals === 3 ? 100 * score : score));

function duration(seconds) {
  if (!seconds) return "";
  const parts = [[86400, "d"], [3600, "h"], [60, "min"]].find(([size]) => seconds >= 2 * size);
  return parts ? `${(seconds / parts[0]).toFixed(1)} ${parts[1]}` : `${seconds.toFixed(1)} s`;
}

function bestPublished(run) {
  const known = Object.entries(run.published).filter(([, score]) => score !== null);
  return known.sort((a, b) => b[1] - a[1])[0];
}

function scoreCell(run) {
  if (run.score === null) return [];
  const published = bestPublished(run), told = [];
  const marks = [make("i", "", { style: `width:${percent(run, run.score)}%` })];
  const mark = (kind, score, name) => {
    marks.push(make("b", "", { className: kind, title: name, style: `left:${percent(run, score)}%` }));
    told.push(`${name} ${scoreOf(run, score)}`);
  };
  const known = run.mean_pose !== null && run.mean_pose !== undefined;
  if (known) mark("mean", run.mean_pose, "mean pose");
  if (published) mark("published", published[1], `published, ${published[0]},`);
  if (!known) return [make("strong", scoreOf(run, run.score))];
  const worse = run.score <= run.mean_pose ? " worse" : "";
  return [make("strong", scoreOf(run, run.score)), make("span", marks, { className: `bar${worse}` }),
    make("small", told.join(" · "))];
}

function rowOf(run) {
  const tick = make("input", "", { type: "checkbox", checked: view.ticked.has(run) });
  tick.ariaLabel = `Compare ${run.name}`;
  tick.onchange = () => { view.ticked[tick.checked ? "add" : "delete"](run); showTicked(); };
  const picture = run.picture &&
    make("img", "", { src: `${run.link}/figures/${run.picture}`, alt: "", loading: "lazy" });
  const name = run.report
    ? make("a", run.title, { href: `${run.link}/report.html` }) : make("strong", run.title);
  const badges = run.states.slice(1).map((state) => make("span", state, { className: `badge ${state}` }));
  const cells = COLUMNS.slice(2, -1).map(([, , shown, kind]) => make("td", shown(run), { className: kind }));
  return make("tr", [
    make("td", tick), make("td", picture, { className: "picture" }),
    make("td", [name, " ", ...badges, make("small", run.about), make("small", run.name, { className: "quiet" })],
      { className: "text" }),
    make("td", scoreCell(run), { className: "score" }), ...cells,
    make("td", make("span", run.status, { className: `badge ${run.status}` })),
  ], { id: run.name, title: run.notes.join("\n") });
}

function chosen() {
  const words = filters.text.value.toLowerCase().split(/\s+/);
  return runs.filter((run) => words.every((word) => run.words.includes(word)) &&
    (!filters.protocol.value || run.protocol === filters.protocol.value) &&
    (!filters.paper.value || run.paper === filters.paper.value) &&
    (!filters.state.value || run.states.includes(filters.state.value) ||
      (filters.state.value === "trained" && run.trained)));
}

function sorted(rows) {
  const way = view.rising ? 1 : -1, unknown = (value) => value === null || value === "" || value === 0;
  return rows.toSorted(({ [view.sort]: a }, { [view.sort]: b }) =>
    unknown(a) - unknown(b) || way * (typeof a === "string" ? a.localeCompare(b) : a - b));
}

function show() {
  const groups = Map.groupBy(sorted(chosen()), (run) => run.protocol), body = find("#runs tbody");
  const rows = [...groups].flatMap(([protocol, found]) => [[protocol, found.length], ...found]);
  body.replaceChildren(...rows.slice(0, view.limit).map((row) => !Array.isArray(row) ? rowOf(row) :
    make("tr", make("th", [row[0], make("span", ` ${amount(row[1])}`, { className: "quiet" })],
      { colSpan: COLUMNS.length + 2 }), { className: "group" })));
  find("#more").hidden = rows.length <= view.limit;
  find("#more").textContent = `Show more of ${amount(rows.length)} rows`;
  const heads = COLUMNS.map(([heading, key, , kind = ""]) => {
    const button = make("button", heading);
    button.onclick = () => {
      Object.assign(view, { sort: key, rising: view.sort === key ? !view.rising : key === "title" });
      show();
    };
    const way = view.sort === key ? (view.rising ? "ascending" : "descending") : "none";
    return make("th", button, { className: `${kind} ${key === "title" ? "text" : ""}`, ariaSort: way });
  });
  find("#runs thead").replaceChildren(make("tr", [make("th"), make("th", "", { className: "picture" }), ...heads]));
}

function showTicked() {
  const count = view.ticked.size;
  find("#ticked").hidden = !count;
  find("#ticked span").textContent = `${count} ticked`;
  find("#ticked [data-do=compare]").disabled = count < 2;
  find("#comparison").hidden = count < 2;
  if (count > 1) compare([...view.ticked]);
}

// Charts

const plain = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;");
const PALETTE = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7f7f7f"];

function chart(place, title, traces, x = {}, y = {}) {
  const div = place.appendChild(make("div", "", { className: "chart" })), ink = getComputedStyle(div).color;
  const axis = { gridcolor: "#8883", zerolinecolor: "#8886", automargin: true };
  Plotly.newPlot(div, traces, {
    title: { text: plain(title), font: { size: 15 } }, xaxis: { ...axis, ...x }, yaxis: { ...axis, rangemode: "nonnegative", ...y },
    paper_bgcolor: "transparent", plot_bgcolor: "transparent", font: { color: ink }, colorway: PALETTE,
    margin: { t: 40, r: 15, b: 45, l: 50 }, legend: { orientation: "h", y: -0.25 }, modebar: { bgcolor: "transparent" },
  }, { responsive: true, displaylogo: false });
  return div;
}

function labelOf(run, among) {
  const same = among.filter((other) => other.title === run.title);
  const own = run.changed.filter((knob) => !same.every((other) => other.changed.includes(knob)));
  return plain(same.length === 1 ? run.title : own.length ? `${run.title}, ${own.join(", ")}` : run.name);
}

function compare(picked) {
  const place = find("#comparison > div");
  place.replaceChildren();
  for (const [protocol, group] of Map.groupBy(picked, (run) => run.protocol)) {
    const charts = make("div", "", { className: "charts" });
    place.append(make("h3", protocol), charts);
    const line = (index) => group.filter((run) => run.curve.some((point) => point[index] !== null))
      .map((run) => ({ name: labelOf(run, picked), x: run.curve.map((point) => point[0]),
        y: run.curve.map((point) => point[index]), mode: run.curve.length < 20 ? "lines+markers" : "lines" }));
    const epochs = { title: { text: "epoch" }, tickformat: "d" }, loss = line(1), score = line(2);
    if (score.length) chart(charts, "Validation score, percent", score, epochs);
    if (loss.length) chart(charts, "Training loss", loss, epochs, { type: "log" });
    const bars = group.filter((run) => run.score !== null).map((run) => ({ type: "bar",
      name: labelOf(run, picked), x: Object.keys(run.columns), y: Object.values(run.columns) }));
    if (bars.length) chart(charts, "Score by joint or column", bars);
  }
  place.append(differences(picked));
}

function differences(picked) {
  const values = picked.map((run) => new Map(run.knobs.map((number) => {
    const [, name, value] = /^(.*?): (.*)$/.exec(knobs[number]) || [0, knobs[number], ""];
    return [name, value];
  })));
  const names = distinct(values.flatMap((own) => [...own.keys()]))
    .filter((name) => new Set(values.map((own) => own.get(name))).size > 1);
  const rows = names.map((name) => make("tr", [make("th", name, { className: "text" }),
    ...values.map((own) => make("td", own.get(name) ?? "–"))]));
  const heads = picked.map((run) => make("th", run.name));
  return make("div", [make("h3", "Parameters that differ"), rows.length
    ? make("div", make("table", [make("tr", [make("th"), ...heads]), ...rows]), { className: "scroll" })
    : make("p", "None.")]);
}

function tradeoff() {
  const protocol = find("#tradeoff select").value, charts = find("#tradeoff .charts");
  const group = runs.filter((run) => run.protocol === protocol && run.score !== null && run.status === "finished");
  charts.replaceChildren();
  const sizes = [["params_count", "parameters"], ["gmacs", "GMACs"], ["train_seconds", "seconds of training"],
    ["latency_ms", "milliseconds an image"]];
  for (const [key, name] of sizes) {
    const models = Map.groupBy(group.filter((run) => run[key]), (run) => run.title);
    if (!models.size) continue;
    const traces = [...models].map(([model, found]) => ({
      name: plain(model), mode: "markers", marker: { size: 10 }, customdata: found,
      x: found.map((run) => run[key]), y: found.map((run) => run.score),
      text: found.map((run) => plain(`${run.name} ${run.changed.join(", ")}`)),
    }));
    const shapes = [...new Set(group.map((run) => run.mean_pose).filter((score) => score !== null))].slice(0, 1);
    for (const score of shapes) {
      const ends = [...models.values()].flat().map((run) => run[key]);
      traces.push({ name: "mean pose", mode: "lines", line: { dash: "dot", color: "#888" },
        x: [Math.min(...ends), Math.max(...ends)], y: [score, score], hoverinfo: "y+name" });
    }
    const div = chart(charts, `Score against ${name}`, traces, { type: "log", title: { text: name } });
    div.on("plotly_click", ({ points: [{ customdata: run }] }) => {
      if (run?.report) location.assign(`${run.link}/report.html`);
    });
  }
}

// Start

function goToNeighbour() { // reports link to #next=folder and #previous=folder
  const [, way, name] = /^#(next|previous)=(.*)$/.exec(location.hash) || [];
  const at = runs.findIndex((run) => run.link === `./${name}`);
  const others = way === "next" ? runs.slice(0, Math.max(0, at)).reverse() : runs.slice(at + 1);
  const other = at >= 0 && others.find((run) => run.report);
  if (other) location.replace(`${other.link}/report.html`);
}

function fill(select, values) {
  select.append(...values.map((value) => make("option", value, { value })));
}

function start() {
  goToNeighbour();
  find("#told").textContent = `${amount(runs.length) || 0} runs, as of ${made}; scores compare only within ` +
    "one protocol. Tick two or more runs to compare them.";
  fill(filters.protocol, distinct(runs.map((run) => run.protocol)));
  fill(filters.paper, distinct(runs.map((run) => run.paper)));
  fill(filters.state, distinct(runs.flatMap((run) => [...run.states, run.trained && "trained"])));
  find("#filters").oninput = () => { view.limit = PAGE; show(); };
  find("#filters").onsubmit = () => false;
  find("#more").onclick = () => { view.limit += PAGE; show(); };
  find("[data-do=compare]").onclick = () => find("#comparison").scrollIntoView({ behavior: "smooth" });
  find("[data-do=clear]").onclick = () => { view.ticked.clear(); showTicked(); show(); };
  find("#board").hidden = !runs.length;
  show();
}

start();
addEventListener("load", () => { // plotly.js is there by now
  const scored = Map.groupBy(runs.filter((run) => run.score !== null && run.mean_pose !== null), (run) => run.protocol);
  const protocols = [...scored].toSorted((a, b) => b[1].length - a[1].length).map(([name]) => name);
  fill(find("#tradeoff select"), protocols);
  find("#tradeoff").hidden = !protocols.length;
  find("#tradeoff select").onchange = tradeoff;
  tradeoff();
  matchMedia("(prefers-color-scheme: dark)").onchange = () => { tradeoff(); showTicked(); };
});
