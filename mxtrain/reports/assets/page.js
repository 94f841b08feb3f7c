"use strict";
(() => {
  const CONTROLS = {
    responsive: true, displaylogo: false, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
  };
  const plots = [...document.querySelectorAll(".plot")];
  for (const plot of plots) {
    const figure = JSON.parse(document.getElementById(plot.dataset.figure).textContent);
    Plotly.newPlot(plot, figure.data, figure.layout, CONTROLS);
  }

  // Paper is narrower than most screens and has a fixed width.
  const PAPER = 690;
  const fit = printing => plots.forEach(plot =>
    Plotly.relayout(plot, printing ? {width: PAPER, autosize: false} : {width: null, autosize: true}));
  addEventListener("beforeprint", () => fit(true));
  addEventListener("afterprint", () => fit(false));
})();

// The table of trials: a click on a head sorts, words and a state filter.
(() => {
  const table = document.getElementById("trials");
  if (!table) return;
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  const state = document.getElementById("state"), words = document.getElementById("words");

  function key(row, column) {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
  }

  function compare(a, b) {
    if (a === "" || b === "") return a === b ? 0 : a === "" ? Infinity : -Infinity;  // what is missing comes last
    return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  }

  heads.forEach((head, column) => head.firstChild.addEventListener("click", () => {
    const falling = head.getAttribute("aria-sort") === "ascending";
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const sorted = [...rows].sort((a, b) => {
      const order = compare(key(a, column), key(b, column));
      return falling && Number.isFinite(order) ? -order : order;
    });
    body.append(...sorted);
  }));

  function filter() {
    const wanted = words.value.toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const fits = (!state.value || row.dataset.state === state.value) && row.textContent.toLowerCase().includes(wanted);
      row.hidden = !fits;
      shown += fits;
    }
    document.getElementById("shown").textContent = `${shown} of ${rows.length} trials`;
  }

  state.addEventListener("change", filter);
  words.addEventListener("input", filter);
  filter();
})();
