// Tables sort by a click on a heading and are filtered.
{
  // Returns what a cell is sorted by: its number, if it begins with one, or its text.
  const key = (cell) => {
    const text = cell ? cell.textContent.trim().replace(/^★ /, "").replace(/^[−+]/, (sign) => (sign === "+" ? "" : "-")) : "";
    const number = parseFloat(text.replace(/,/g, ""));
    return text === "" ? null : Number.isNaN(number) || !/^[-\d.]/.test(text) ? text : number;
  };

  const compare = (a, b) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1;
  };

  [...document.querySelectorAll("table.sortable")].forEach((table, number) => {
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
    const rows = [...table.tBodies[0].rows];
    if (rows.length > 8) {
      const input = document.createElement("input");
      input.type = "search";
      input.className = "filter";
      input.placeholder = "filter the rows";
      input.setAttribute("aria-label", "filter the rows");
      input.addEventListener("input", () => {
        const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
        const fits = (row) => {
          const text = [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase();
          return words.every((word) => text.includes(word));
        };
        if (rows[0].dataset.trial) {
          const set = new Set(rows.filter(fits).map((row) => row.dataset.trial));
          trials.filter(`${number}|the words`, words.length ? set : null);
        } else {
          for (const row of rows) row.hidden = !fits(row);
        }
      });
      document.addEventListener("allshown", () => { if (rows[0].dataset.trial) input.value = ""; });
      (table.closest(".wide") || table).before(input);
    }
  });
}
