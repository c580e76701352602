// Charts say what is under the pointer. Curves and large matrices are zoomed, and axes of parallel coordinates are brushed.
{
  const space = document.querySelector("svg")?.namespaceURI;
  const svgElement = (name, attributes, parent) => {
    const made = document.createElementNS(space, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return parent ? parent.appendChild(made) : made;
  };
  const numbers = (text) => text.match(/-?[\d.]+(?:e-?\d+)?/g).map(Number);

  // Returns where the pointer is, in the units of a picture.
  const place = (element, event) => {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(element.getScreenCTM().inverse());
    return [point.x, point.y];
  };

  // What is under the pointer. It takes the place of the titles of elements, which appear late and only for a mouse.
  const tip = document.createElement("div");
  tip.className = "hover";
  tip.hidden = true;
  document.body.append(tip);
  const say = (text, event) => {
    tip.hidden = !text;
    if (!text) return;
    tip.textContent = text;
    const [width, height] = [tip.offsetWidth, tip.offsetHeight];
    tip.style.left = Math.max(4, Math.min(event.clientX + 14, document.documentElement.clientWidth - width - 4)) + "px";
    tip.style.top = (event.clientY + 18 + height > innerHeight ? event.clientY - height - 12 : event.clientY + 18) + "px";
  };
  for (const title of document.querySelectorAll("svg title")) {
    title.parentNode.dataset.tip = title.textContent;
    title.parentNode.setAttribute("aria-label", title.textContent);
    title.remove();
  }

  // A number with as many digits as pixels can tell.
  const rounded = (value, step) => value.toFixed(Math.min(8, Math.max(0, Math.floor(-Math.log10(step)))));
  const plain = (axis) => axis.replace(/ \(.*\)$/, "");

  // A chart of curves and points.
  class Chart {
    constructor(plot) {
      this.plot = plot;
      this.svg = plot.ownerSVGElement;
      this.frame = numbers(plot.dataset.frame);
      this.axes = plot.dataset.axes.split("|");
      this.whole = [numbers(plot.dataset.x), numbers(plot.dataset.y)];
      this.shown = this.whole;
      this.lines = [...plot.querySelectorAll("path.line")].map((path) => [path, path.getAttribute("d")]);
      this.points = [];
      for (const [path, d] of this.lines) {
        const flat = numbers(d);
        for (let i = 0; i < flat.length; i += 2) this.points.push({ of: path, at: [flat[i], flat[i + 1]] });
      }
      for (const of of plot.querySelectorAll("circle, .cross")) {
        const at = of.matches("circle") ? [+of.getAttribute("cx"), +of.getAttribute("cy")] : numbers(of.getAttribute("d")).slice(0, 2).map((x) => x + 4);
        this.points.push({ of, at });
      }
      this.ticks = this.svg.querySelector("g.along");
      this.ticksOfWhole = [...this.ticks.childNodes];
      this.dot = svgElement("circle", { r: 4.5, class: "focus", visibility: "hidden" }, this.svg);
    }

    // Returns where something is that was at (x, y) in the whole chart.
    moved([x, y]) {
      return [x, y].map((at, axis) => {
        const [from, to, low, high] = this.whole[axis];
        const [, , shownLow, shownHigh] = this.shown[axis];
        const value = low + ((at - from) / (to - from)) * (high - low);
        return from + ((value - shownLow) / (shownHigh - shownLow)) * (to - from);
      });
    }

    near(event) {
      const [x, y] = place(this.svg, event);
      let best = null, least = 28;
      for (const point of this.points) {
        if (point.of.classList.contains("out")) continue;
        const at = this.moved(point.at);
        // A trial comes before a line through it.
        const distance = Math.hypot(at[0] - x, at[1] - y) - (point.of.dataset.trial ? 3 : 0);
        const isIn = at[0] > this.frame[0] - 9 && at[0] < this.frame[2] + 9 && at[1] > this.frame[1] - 9 && at[1] < this.frame[3] + 9;
        if (distance < least && isIn) [best, least] = [{ ...point, now: at }, distance];
      }
      return best;
    }

    text({ of, at }) {
      const trial = of.dataset.trial;
      if (of.matches(".mark, .cross") && trial) return `${trials.name(trial)}: ${trials.score(trial)}`;
      const [x, y] = at.map((pixel, axis) => {
        const [from, to, low, high] = this.whole[axis];
        const value = low + ((pixel - from) / (to - from)) * (high - low);
        if (axis === 0 && "whole" in this.plot.dataset) return value.toFixed(0);
        const isCut = axis === 1 && "cut" in this.plot.dataset && Math.abs(pixel - to) < 0.1;
        return rounded(value, (0.15 * Math.abs(high - low)) / Math.abs(to - from)) + (isCut ? " or more" : "");
      });
      const name = trial ? trials.name(trial) : of.dataset.name || "";
      return `${name ? name + ", " : ""}${plain(this.axes[0])} ${x}: ${y}`;
    }

    // Shows a part of the chart, from (x, y) to (x, y) in pixels, or the whole.
    zoom(corners) {
      if (corners) {
        this.shown = this.shown.map(([from, to, low, high], axis) => {
          const ends = corners.map((corner) => low + ((corner[axis] - from) / (to - from)) * (high - low));
          return [from, to, Math.min(...ends), Math.max(...ends)];
        });
      } else {
        this.shown = this.whole;
      }
      for (const [path, d] of this.lines) path.setAttribute("d", corners ? d.replace(/(-?[\d.]+) (-?[\d.]+)/g, (_, x, y) => this.moved([+x, +y]).map((at) => at.toFixed(1)).join(" ")) : d);
      for (const { of, at } of this.points) {
        const now = this.moved(at);
        if (of.matches("circle")) of.setAttribute("transform", `translate(${now[0] - at[0]} ${now[1] - at[1]})`);
        if (of.matches(".cross")) of.setAttribute("transform", `translate(${now[0] - at[0]} 0)`);
      }
      for (const rule of this.plot.querySelectorAll("line.rule, text")) {
        const x = +(rule.getAttribute("x1") || rule.getAttribute("x"));
        rule.setAttribute("transform", `translate(${this.moved([x, 0])[0] - x} 0)`);
      }
      this.clip();
      this.ticks.replaceChildren(...(corners ? this.newTicks() : this.ticksOfWhole));
      this.back.hidden = !corners;
    }

    // Leaves out what is beyond the axes.
    clip() {
      if (this.plot.hasAttribute("clip-path")) return;
      const id = "clip" + Math.round(performance.now() * 1000);
      const [left, top, right, bottom] = this.frame;
      svgElement("rect", { x: left, y: top - 4, width: right - left + 4, height: bottom - top + 4 }, svgElement("clipPath", { id }, this.svg));
      this.plot.setAttribute("clip-path", `url(#${id})`);
    }

    newTicks() {
      const [left, , right, bottom] = this.frame;
      return this.shown.flatMap(([from, to, low, high], axis) => {
        const rough = (high - low) / (axis ? 5 : 8);
        const power = 10 ** Math.floor(Math.log10(rough));
        let step = power * [1, 2, 5, 10].find((one) => one * power >= rough);
        if (!axis && "whole" in this.plot.dataset) step = Math.max(1, Math.round(step));
        const made = [];
        for (let i = Math.ceil(low / step); i <= Math.floor(high / step); i++) {
          const at = from + ((i * step - low) / (high - low)) * (to - from);
          const text = String(Number((i * step).toPrecision(6)));
          made.push(axis ? svgElement("line", { class: "grid", x1: left, x2: right, y1: at, y2: at }) : svgElement("line", { class: "frame", x1: at, x2: at, y1: bottom, y2: bottom + 4 }));
          made.push(svgElement("text", axis ? { x: left - 8, y: at + 4, "text-anchor": "end" } : { x: at, y: bottom + 18, "text-anchor": "middle" }));
          made[made.length - 1].textContent = text;
        }
        return made;
      });
    }

    // A drag with the mouse zooms. A finger scrolls the page.
    listen() {
      this.back = document.createElement("button");
      Object.assign(this.back, { type: "button", className: "back", textContent: "the whole chart", hidden: true });
      this.back.addEventListener("click", () => this.zoom(null));
      (this.svg.closest(".scroll") || this.svg).after(this.back);
      this.svg.addEventListener("dblclick", () => this.zoom(null));
      drag(this.svg, (event) => event.pointerType === "mouse", (start, end, isOver) => {
        this.box ||= svgElement("rect", { class: "brush" }, this.svg);
        const [left, top, right, bottom] = this.frame;
        const held = [start, end].map(([x, y]) => [Math.min(right, Math.max(left, x)), Math.min(bottom, Math.max(top, y))]);
        const size = [0, 1].map((axis) => Math.abs(held[0][axis] - held[1][axis]));
        for (const [name, value] of Object.entries({ x: Math.min(held[0][0], held[1][0]), y: Math.min(held[0][1], held[1][1]), width: size[0], height: size[1] })) this.box.setAttribute(name, value);
        this.box.setAttribute("visibility", isOver ? "hidden" : "visible");
        if (isOver && size[0] > 8 && size[1] > 8) this.zoom(held);
      });
    }
  }

  // Calls `moved` with the first and the last place of a drag, and whether it is over. The click at its end is none.
  const drag = (element, isMeant, moved) => {
    element.addEventListener("pointerdown", (event) => {
      if (event.button || !isMeant(event)) return;
      const start = place(element, event);
      let last = start;
      const onMove = (event) => { last = place(element, event); moved(start, last, false); };
      const onEnd = () => {
        removeEventListener("pointermove", onMove);
        removeEventListener("pointerup", onEnd);
        removeEventListener("pointercancel", onEnd);
        moved(start, last, true);
        if (Math.hypot(last[0] - start[0], last[1] - start[1]) > 4) {
          const noClick = (event) => element.contains(event.target) && event.stopPropagation();
          addEventListener("click", noClick, { capture: true, once: true });
          setTimeout(() => removeEventListener("click", noClick, { capture: true }));
        }
      };
      addEventListener("pointermove", onMove);
      addEventListener("pointerup", onEnd);
      addEventListener("pointercancel", onEnd);
      event.preventDefault();
    });
  };

  // The axes of parallel coordinates: a drag along one leaves the trials that cross it there.
  const brush = (svg, number) => {
    const ways = [...svg.querySelectorAll("path.way[data-trial]")].map((way) => {
      const flat = numbers(way.getAttribute("d"));
      return [way.dataset.trial, new Map(flat.filter((_, i) => i % 2 === 0).map((x, i) => [x, flat[2 * i + 1]]))];
    });
    svg.querySelectorAll("line.across").forEach((axis, at) => {
      const [x, top, bottom] = ["x1", "y1", "y2"].map((name) => +axis.getAttribute(name));
      const band = svgElement("rect", { class: "brush", x: x - 7, width: 14, visibility: "hidden" }, svg);
      const grip = svgElement("rect", { class: "grip", x: x - 12, y: top - 6, width: 24, height: bottom - top + 12 }, svg);
      grip.dataset.tip = `drag to choose by ${axis.dataset.name}`;
      const key = `axis ${number} ${at}|${axis.dataset.name}`;
      const clear = () => band.setAttribute("visibility", "hidden");
      drag(grip, () => true, (start, end, isOver) => {
        const [low, high] = [Math.max(top - 6, Math.min(start[1], end[1])), Math.min(bottom + 6, Math.max(start[1], end[1]))];
        if (high - low < 4) {
          clear();
          if (isOver) trials.filter(key, null);
          return;
        }
        band.setAttribute("y", low);
        band.setAttribute("height", high - low);
        band.setAttribute("visibility", "visible");
        trials.filter(key, new Set(ways.filter(([, way]) => way.get(x) >= low && way.get(x) <= high).map(([trial]) => trial)));
      });
      document.addEventListener("allshown", clear);
    });
  };

  // A matrix with names of its rows and columns. Those at the pointer are marked.
  class Matrix {
    constructor(matrix) {
      this.matrix = matrix;
      this.side = +matrix.dataset.side;
      this.names = [...matrix.ownerSVGElement.querySelectorAll("g.names text[text-anchor]")].map((text) => text.textContent);
      const length = this.side * this.names.length;
      this.bands = [{ width: length, height: this.side }, { width: this.side, height: length }].map((size) => svgElement("rect", { class: "band", visibility: "hidden", ...size }, matrix));
    }

    text(event) {
      const [column, row] = place(this.matrix, event).map((at) => Math.floor(at / this.side));
      const isIn = this.names[row] !== undefined && this.names[column] !== undefined;
      this.bands.forEach((band, at) => {
        band.setAttribute("visibility", isIn ? "visible" : "hidden");
        band.setAttribute(at ? "x" : "y", this.side * (at ? column : row));
      });
      if (!isIn) return null;
      const { tip, short } = event.target.dataset;
      return tip || `${this.names[row]} as ${this.names[column]}: ${short || (event.target.matches(".cell") ? "" : "none")}`;
    }

    // Buttons enlarge it within its box.
    listen() {
      const svg = this.matrix.ownerSVGElement, box = svg.closest(".scroll");
      if (!box || this.side > 20) return;
      const width = svg.viewBox.baseVal.width;
      let size = 1;
      const buttons = document.createElement("div");
      buttons.className = "zoom";
      const resize = (by) => {
        const middle = [box.scrollLeft + box.clientWidth / 2, box.scrollTop + box.clientHeight / 2].map((at) => at / box.firstElementChild.offsetWidth);
        size = Math.min(4, Math.max(1, size * by));
        box.classList.toggle("zoomed", size > 1);
        svg.style.maxWidth = svg.style.width = box.firstElementChild.style.width = size > 1 ? size * width + "px" : "";
        if (size === 1) svg.style.maxWidth = width + "px";
        const now = box.firstElementChild.offsetWidth;
        box.scrollTo(middle[0] * now - box.clientWidth / 2, middle[1] * now - box.clientHeight / 2);
      };
      for (const [text, by, label] of [["+", 1.5, "larger"], ["−", 1 / 1.5, "smaller"]]) {
        const made = document.createElement("button");
        Object.assign(made, { type: "button", textContent: text, title: label });
        made.setAttribute("aria-label", label);
        made.addEventListener("click", () => resize(by));
        buttons.append(made);
      }
      box.before(buttons);
    }
  }

  const charts = new Map(), matrices = new Map();
  for (const plot of document.querySelectorAll("g.plot")) charts.set(plot.ownerSVGElement, new Chart(plot));
  for (const matrix of document.querySelectorAll("g.matrix")) matrices.set(matrix.ownerSVGElement, new Matrix(matrix));
  for (const one of [...charts.values(), ...matrices.values()]) one.listen();
  [...document.querySelectorAll("svg")].filter((svg) => svg.querySelector("line.across")).forEach(brush);
  const marked = new Map();
  for (const mark of trials.marks) marked.set(mark.svg, [...(marked.get(mark.svg) || []), ...mark.each]);

  let last = null;
  const look = (event) => {
    const target = event.target.closest ? event.target : document.body;
    const svg = target.closest("svg.chart");
    if (last && last !== svg) {
      charts.get(last)?.dot.setAttribute("visibility", "hidden");
      matrices.get(last)?.bands.forEach((band) => band.setAttribute("visibility", "hidden"));
    }
    last = svg;
    trials.at.pointer = null;
    let text = target.closest("[data-tip]")?.dataset.tip;
    const trial = target.closest("svg [data-trial]")?.dataset.trial;
    if (charts.has(svg)) {
      const chart = charts.get(svg), near = chart.near(event);
      chart.dot.setAttribute("visibility", near ? "visible" : "hidden");
      if (near) {
        chart.dot.setAttribute("cx", near.now[0]);
        chart.dot.setAttribute("cy", near.now[1]);
        trials.at.pointer = near.of.dataset.trial || null;
      }
      text = near ? chart.text(near) : text;
    } else if (matrices.has(svg)) {
      text = matrices.get(svg).text(event);
    } else if (marked.has(svg)) {
      const [x, y] = place(svg, event);
      const distance = ({ at }) => Math.hypot(at[0] - x, at[1] - y);
      const near = marked.get(svg).filter((one) => trials.isShown(one.trial) && distance(one) < 12).sort((a, b) => distance(a) - distance(b))[0];
      trials.at.pointer = near ? near.trial : null;
      text = near ? `${trials.name(near.trial)}: ${trials.score(near.trial)}` : text;
    } else if (trial) {
      text = `${trials.name(trial)}: ${trials.score(trial)}`;
    }
    svg?.classList.toggle("points", trials.at.pointer !== null);
    say(text, event);
  };
  document.addEventListener("pointermove", look);
  document.addEventListener("pointerdown", look);
  document.addEventListener("scroll", () => say(null), { capture: true, passive: true });
}
