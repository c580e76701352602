"use strict";
// Makes the page interactive. Without it, the page is what it is. It loads nothing and stores nothing.

// The trials, wherever they are: rows of tables, curves, marks and pictures. A chosen trial is marked everywhere, and trials that a
// filter leaves out are faint everywhere, or hidden in tables.
const trials = (() => {
  const own = new Map();
  for (const one of document.querySelectorAll("[data-trial]")) {
    own.set(one.dataset.trial, [...(own.get(one.dataset.trial) || []), one]);
  }
  // A path of marks has a move for each trial. Its ghost has those that are left out.
  const marks = [...document.querySelectorAll("path[data-trials]")].map((path) => {
    const parts = path.getAttribute("d").split(/(?=M)/);
    const numbers = path.dataset.trials.split(" ");
    const moves = parts.length / numbers.length;
    const each = numbers.map((number, at) => {
      const d = parts.slice(at * moves, (at + 1) * moves).join("");
      return { trial: `${path.dataset.search}/${number}`, d, at: d.match(/-?[\d.]+/g).slice(0, 2).map(Number) };
    });
    return { path, each, svg: path.ownerSVGElement };
  });
  const filters = new Map();
  const chosen = new Set();
  const bar = document.createElement("div");
  bar.className = "selection";
  bar.hidden = true;
  document.body.append(bar);

  const isShown = (trial) => [...filters.values()].every((filter) => filter.has(trial));
  const name = (trial) => "trial " + trial.slice(trial.lastIndexOf("/") + 1);
  const row = (trial) => (own.get(trial) || []).find((one) => one.tagName === "TR");
  const score = (trial) => row(trial)?.querySelector(".score")?.textContent || "no result";

  const put = (path, after, className, d) => {
    let other = path[className];
    if (!other && d) {
      other = path[className] = path.cloneNode();
      other.removeAttribute("data-trials");
      other.classList.add(className);
      path[after ? "after" : "before"](other);
    }
    other?.setAttribute("d", d);
  };

  // Returns the places of a trial with their names: the first of each kind.
  const places = (trial) => {
    const kinds = new Map();
    for (const one of own.get(trial) || []) {
      const kind = one.tagName === "TR" ? "row" : one.matches("path.line") ? "curve" : one.matches("path.way") ? "coordinates" : one.matches("circle, .cross") ? "objective" : "pictures";
      if (!kinds.has(kind)) kinds.set(kind, one);
    }
    return kinds;
  };

  const button = (text, act) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.addEventListener("click", act);
    return made;
  };

  const show = (one) => {
    for (let fold = one.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    (one.closest("figure") || one).scrollIntoView({ block: "center", behavior: "smooth" });
  };

  const draw = () => {
    for (const [trial, all] of own) {
      for (const one of all) {
        one.classList.toggle("chosen", chosen.has(trial));
        if (one.tagName === "TR") one.hidden = !isShown(trial);
        else one.classList.toggle("out", !isShown(trial));
        // Drawn last, a line is above the others.
        if (chosen.has(trial) && one.matches("path.line, path.way")) one.parentNode.append(one);
      }
    }
    for (const { path, each } of marks) {
      const d = (wanted) => each.filter(wanted).map((one) => one.d).join("");
      path.setAttribute("d", d(({ trial }) => isShown(trial)));
      put(path, false, "out", d(({ trial }) => !isShown(trial)));
      put(path, false, "chosen", d(({ trial }) => chosen.has(trial)));
    }
    bar.replaceChildren();
    if (filters.size) {
      const all = [...own.keys()].filter(row);
      bar.append(`${all.filter(isShown).length} of ${all.length} trials, by ${[...filters.keys()].map((key) => key.split("|").pop()).join(", ")} `);
      bar.append(button("show all", () => { filters.clear(); document.dispatchEvent(new Event("allshown")); draw(); }));
    }
    for (const trial of [...chosen].slice(-3)) {
      const one = document.createElement("span");
      one.append(`${name(trial)}: ${score(trial)} `);
      for (const [kind, place] of places(trial)) one.append(button(kind, () => show(place)));
      bar.append(one);
    }
    if (chosen.size) bar.append(button(chosen.size > 1 ? `clear ${chosen.size}` : "clear", () => { chosen.clear(); draw(); }));
    bar.hidden = !bar.childNodes.length;
  };

  const choose = (trial) => {
    if (!chosen.delete(trial)) chosen.add(trial);
    draw();
  };

  // The trial that the pointer is near, which the charts know.
  const at = { pointer: null };
  document.addEventListener("click", (event) => {
    if (event.target.closest(".selection, a, summary")) return;
    const trial = event.target.closest("[data-trial]")?.dataset.trial || at.pointer;
    if (trial) choose(trial);
  });
  for (const one of document.querySelectorAll("tr[data-trial]")) {
    one.tabIndex = 0;
    one.addEventListener("keydown", (event) => { if (event.key === "Enter") choose(one.dataset.trial); });
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && chosen.size) {
      chosen.clear();
      draw();
    }
  });

  return {
    marks, name, score, at, isShown,
    // Shows only the trials of a set where `key` asks for it, or no longer, if there is none. The key ends with what is told.
    filter(key, set) {
      if (set) filters.set(key, set);
      else filters.delete(key);
      draw();
    },
  };
})();
