"use strict";
// Makes the page interactive: tables sort by a click on a heading and are filtered, and a trial is shown as chosen wherever it is.
// Without it, the page is what it is. It loads nothing and stores nothing.
{
  // Returns what a cell is sorted by: its number, if it begins with one, or its text.
  const key = (cell) => {
    const text = cell ? cell.textContent.trim().replace(/^★ /, "") : "";
    const number = parseFloat(text.replace(/,/g, ""));
    return text === "" ? null : Number.isNaN(number) || !/^[-−\d.]/.test(text) ? text : number;
  };

  const compare = (a, b) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1;
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    heads.forEach((head, at) => {
      head.tabIndex = 0;
      head.title = "sort";
      const sort = () => {
        const falls = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", falls ? "descending" : "ascending");
        const rows = [...table.tBodies[0].rows].map((row) => [key(row.cells[at]), row]);
        // Cells without a value stay last.
        rows.sort(([a], [b]) => (a === null || b === null ? compare(a, b) : falls ? compare(b, a) : compare(a, b)));
        table.tBodies[0].append(...rows.map(([, row]) => row));
      };
      head.addEventListener("click", sort);
      head.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          sort();
        }
      });
    });
    if (table.tBodies[0].rows.length > 8) {
      const input = document.createElement("input");
      input.type = "search";
      input.className = "filter";
      input.placeholder = "filter the rows";
      input.setAttribute("aria-label", "filter the rows");
      input.addEventListener("input", () => {
        const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
        for (const row of table.tBodies[0].rows) {
          const text = [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase();
          row.hidden = !words.every((word) => text.includes(word));
        }
      });
      (table.closest(".wide") || table).before(input);
    }
  }

  // A trial is a row of the table, curves, and points. A click on one of them chooses all of them, or none again.
  const choose = (trial, from) => {
    const all = [...document.querySelectorAll("[data-trial]")].filter((one) => one.dataset.trial === trial);
    const chosen = !from.classList.contains("chosen");
    for (const one of all) {
      one.classList.toggle("chosen", chosen);
      // Drawn last, a curve is above the others.
      if (chosen && one.ownerSVGElement && one.tagName === "path") one.parentNode.append(one);
    }
    const row = all.find((one) => one.tagName === "TR");
    if (chosen && row && from !== row) row.scrollIntoView({ block: "center", behavior: "smooth" });
  };
  document.addEventListener("click", (event) => {
    const one = event.target.closest("[data-trial]");
    if (one) choose(one.dataset.trial, one);
  });
}
