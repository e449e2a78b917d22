"use strict";
// Tables sort by a click on a column head: numbers first by value, text by the reader's language.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
    const descending = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const key = (row) => row.cells[column].dataset.key ?? row.cells[column].textContent;
    const compare = (a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === "" || y === "") return (x === "") - (y === ""); // unknown values stay last
      const order = isNaN(x) || isNaN(y) ? x.localeCompare(y, undefined, {numeric: true}) : x - y;
      return descending ? -order : order;
    };
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
  }));
}
// A name in a legend lights up its curve in all panels of the group.
for (const group of document.querySelectorAll(".lines")) {
  const curves = [...group.querySelectorAll("[data-curve]")];
  for (const name of group.querySelectorAll(".legend [data-for]")) {
    const light = (on) => {
      group.classList.toggle("dim", on);
      curves.forEach((c) => c.classList.toggle("lit", on && c.dataset.curve === name.dataset.for));
    };
    name.addEventListener("pointerenter", () => light(true));
    name.addEventListener("pointerleave", () => light(false));
  }
}
