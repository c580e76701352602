"use strict";
// Shows the state of a study, which the server sends whenever it is another one. All texts are set as text, never as markup.

const $ = (id) => document.getElementById(id);

// Returns an element with attributes and children, which are elements or texts.
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function svg(name, attributes = {}, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

function significant(x) {
  if (typeof x !== "number") return x === null || x === undefined ? "" : typeof x === "object" ? JSON.stringify(x) : String(x);
  return Number.isInteger(x) ? String(x) : String(Number(x.toPrecision(4)));
}

const metric = (name, x) => (x === null ? "" : /accuracy/.test(name || "") ? (100 * x).toFixed(2) + " %" : significant(x));

function duration(seconds) {
  if (seconds < 60) return seconds.toFixed(0) + " s";
  if (seconds < 3600) return Math.floor(seconds / 60) + " m " + Math.floor(seconds % 60) + " s";
  return Math.floor(seconds / 3600) + " h " + Math.floor((seconds / 60) % 60) + " m";
}

function showGraph(stages) {
  const columns = [];
  for (const stage of stages) (columns[stage.depth] ||= []).push(stage);
  $("graph").replaceChildren(...columns.map((column) => make("div", { class: "column" }, ...column.map((stage) => {
    const state = stage.running ? "running" : stage.failed ? "failed" : stage.planned && stage.done === stage.planned ? "done" : "";
    const counts = stage.planned === 1 ? (state || "waiting") : `${stage.done} of ${stage.planned}` + (stage.failed ? `, ${stage.failed} failed` : "");
    const from = stage.reads.length ? `reads ${stage.reads.join(", ")}` : "";
    return make("div", { class: `stage ${state}`, "data-stage": stage.name, title: from }, make("b", {}, stage.name), make("span", {}, `${stage.kind} · ${counts}`));
  }))));
}

// Returns the curves of a node: of the metric that says most, in training and validation.
function curves(points) {
  const names = new Set(points.flatMap((point) => Object.keys(point.metrics)));
  // What the search optimises, if that is known.
  const wanted = (state.trials.find((trial) => trial.metric) || {}).metric;
  const ranked = [...names].sort((a, b) => (b === wanted) - (a === wanted) || (/accuracy/.test(b) - /accuracy/.test(a)) || (/^valid/.test(b) - /^valid/.test(a)));
  if (!ranked.length) return null;
  const figure = ranked[0].replace(/^(train|valid)\./, "");
  const shown = [...names].filter((name) => name.replace(/^(train|valid)\./, "") === figure);
  const values = points.flatMap((point) => shown.map((name) => point.metrics[name])).filter((x) => x !== undefined);
  let [lo, hi] = [Math.min(...values), Math.max(...values)];
  if (lo === hi) [lo, hi] = [lo - (Math.abs(lo) || 1) / 2, hi + (Math.abs(hi) || 1) / 2];
  const first = points[0].epoch, last = Math.max(points[points.length - 1].epoch, first + 1);
  const x = (epoch) => 44 + (270 * (epoch - first)) / (last - first);
  const y = (value) => 90 - (78 * (value - lo)) / (hi - lo);
  const chart = svg("svg", { viewBox: "0 0 320 112", role: "img", "aria-label": `${figure} by epoch` });
  for (const name of shown) {
    const own = points.filter((point) => point.metrics[name] !== undefined);
    const line = own.map((point) => `${x(point.epoch).toFixed(1)},${y(point.metrics[name]).toFixed(1)}`).join(" ");
    const kind = name.startsWith("train.") ? "train" : "valid";
    chart.append(own.length > 1 ? svg("polyline", { class: `curve ${kind}`, points: line }) : svg("circle", { cx: line.split(",")[0] || 0, cy: line.split(",")[1] || 0, r: 2.5, class: `curve ${kind}` }));
  }
  chart.append(svg("text", { x: 0, y: 16 }, metric(figure, hi)), svg("text", { x: 0, y: 92 }, metric(figure, lo)));
  chart.append(svg("text", { x: 44, y: 108 }, `${figure}, epochs ${first} to ${points[points.length - 1].epoch}` + (shown.length > 1 ? "; grey: training" : "")));
  return chart;
}

function showRunning(live) {
  const nodes = live ? live.nodes : [];
  $("running-section").hidden = !nodes.length;
  $("running").replaceChildren(...nodes.map((node) => {
    const p = node.progress;
    const share = p.total ? p.done / p.total : 0;
    const left = node.speed > 0 && p.total ? duration((p.total - p.done) / node.speed) + " left" : null;
    const facts = [
      p.epoch && `epoch ${p.epoch[0]} of ${p.epoch[1]}`,
      p.loss !== undefined && p.loss !== null && `train loss ${significant(p.loss)}`,
      p.accuracy !== undefined && p.accuracy !== null && `train accuracy ${(100 * p.accuracy).toFixed(1)} %`,
      node.speed > 0 && `${significant(Number(node.speed.toPrecision(3)))} ${p.unit}/s`,
      node.place && `on ${node.place.host}${node.place.job ? ", job " + node.place.job : ""}`,
      p.memory && `${(p.memory / 1e6).toFixed(0)} MB`,
      left || duration(live.at - node.since),
    ].filter(Boolean).join(", ");
    const fill = make("div");
    fill.style.width = (100 * share).toFixed(1) + "%";
    const button = make("button", { type: "button" }, "log");
    button.addEventListener("click", () => showLog(node.node));
    return make("div", { class: "node", "data-node": node.node }, make("b", {}, node.node), " ", button, make("div", { class: "bar" }, fill), make("div", { class: "facts" }, facts), node.curve.length ? curves(node.curve) : null);
  }));
}

let sorting = { by: null, falls: false };
let state = null;

// Returns what a trial is sorted by. Trials without a value come last.
function key(trial, by) {
  if (by === "trial") return trial.index;
  if (by === "score") return trial.loss === null ? null : trial.loss;
  if (by === "status") return trial.status;
  const value = trial.hyperparameters[by];
  return value === undefined ? null : typeof value === "object" ? JSON.stringify(value) : value;
}

function showTrials(trials) {
  $("trials-section").hidden = !trials.length;
  if (!trials.length) return;
  const cells = (name) => trials.map((trial) => JSON.stringify(trial.hyperparameters[name]));
  const names = [...new Set(trials.flatMap((trial) => Object.keys(trial.hyperparameters)))].sort();
  const varying = trials.length < 2 ? names : names.filter((name) => new Set(cells(name)).size > 1);
  const several = new Set(trials.map((trial) => trial.search)).size > 1;
  const score = (trials.find((trial) => trial.metric) || {}).metric || "score";
  const head = [["trial", "trial"], ["status", "status"], ["score", score], ...varying.map((name) => [name, name])].map(([by, text]) => {
    const button = make("button", { type: "button" }, text + (sorting.by === by ? (sorting.falls ? " ↓" : " ↑") : ""));
    button.addEventListener("click", () => {
      sorting = { by, falls: sorting.by === by && !sorting.falls };
      showTrials(state.trials);
    });
    return make("th", { scope: "col", "aria-sort": sorting.by === by ? (sorting.falls ? "descending" : "ascending") : "none" }, button);
  });
  const rows = [...trials];
  if (sorting.by) {
    rows.sort((a, b) => {
      const [x, y] = [key(a, sorting.by), key(b, sorting.by)];
      if (x === null || y === null) return (x === null) - (y === null);
      const order = x < y ? -1 : x > y ? 1 : a.index - b.index;
      return sorting.falls ? -order : order;
    });
  } else {
    rows.reverse();
  }
  $("trials").tHead.replaceChildren(make("tr", {}, ...head, make("th", { scope: "col" }, "reason")));
  $("trials").tBodies[0].replaceChildren(...rows.map((trial) => {
    const without = trial.status !== "completed";
    const name = several ? `${trial.search}/${trial.index}` : String(trial.index);
    const row = make("tr", { class: trial.best ? "best" : without ? "without" : "", "data-trial": trial.node },
      make("th", { scope: "row" }, name + (trial.best ? " *" : "")), make("td", {}, trial.status), make("td", { class: "number" }, metric(trial.metric, trial.value)),
      ...varying.map((hyperparameter) => make("td", { class: "number" }, significant(trial.hyperparameters[hyperparameter]))), make("td", {}, (trial.reason || "").split("\n")[0]));
    row.addEventListener("click", () => showLog(trial.node));
    return row;
  }));
}

async function showLog(node) {
  $("log-name").textContent = node;
  $("log-text").textContent = "..";
  $("log").showModal();
  try {
    $("log-text").textContent = await (await fetch("/logs?node=" + encodeURIComponent(node))).text();
  } catch (error) {
    $("log-text").textContent = String(error);
  }
}

function message(text) {
  $("message").hidden = !text;
  $("message").textContent = text;
}

function show(next) {
  state = next;
  message("");
  document.title = `${state.name || "pipe"} · ${state.status}`;
  $("name").textContent = state.name || "pipe";
  $("status").textContent = state.status;
  $("status").className = "status " + state.status;
  const since = state.started && state.live ? `, ${duration(state.live.at - state.started)}` : "";
  $("counts").textContent = `${state.done} of ${state.planned} nodes${since}` + (state.study ? ` · study ${state.study.slice(0, 12)}` : "");
  $("progress").style.width = (state.planned ? (100 * state.done) / state.planned : 0) + "%";
  showGraph(state.stages);
  showRunning(state.live);
  $("found-section").hidden = !state.findings.length;
  $("found").replaceChildren(...state.findings.map((line) => make("li", {}, line)));
  showTrials(state.trials);
}

const first = JSON.parse($("first").textContent);
if (first) show(first);

const events = new EventSource("/events");
events.addEventListener("state", (event) => show(JSON.parse(event.data)));
events.addEventListener("nothing", (event) => message(JSON.parse(event.data)));
events.addEventListener("error", () => {
  $("status").textContent = "no connection";
  $("status").className = "status lost";
  message("`pipe ui` does not answer. Start it again, and open the address that it prints.");
});
history.replaceState(null, "", "/");
