"use strict";
// The slider hides picks of lower score and counts the rest; without it the page shows the picks.
const slider = document.querySelector("#threshold");
if (slider) {
  const read = (element, name) => JSON.parse(element.dataset[name]);
  const levels = read(slider, "levels"), rows = read(slider, "rows"), curve = read(slider, "curve");
  const bars = [...document.querySelectorAll("[data-stretch]")].map((bar) => {
    const box = bar.getBBox();
    const stretch = bar.dataset.stretch.split(";").map(Number);
    return {bar, stretch, share: Number(bar.dataset.share), top: Number(bar.dataset.top),
      foot: box.y + box.height};
  });
  // The table may be sorted later: its rows keep their counts.
  const cells = [...document.querySelectorAll(".picked tbody tr")].map((row) => [...row.cells]);
  const show = () => {
    const index = Number(slider.value), level = levels[index];
    for (const text of document.querySelectorAll("#level, .level")) {
      text.textContent = level.toFixed(3);
    }
    document.querySelector("#copy").textContent = `threshold=${level}`;
    if (curve.length) {
      const [precision, recall] = curve[index].map((value) => value.toFixed(3));
      document.querySelector("#curve").textContent =
        `On validation, precision is ${precision} and recall ${recall} at ${level.toFixed(3)}.`;
    }
    for (const band of document.querySelectorAll("[data-band]")) {
      band.toggleAttribute("data-hidden", Number(band.dataset.band) < index);
    }
    for (const count of document.querySelectorAll("[data-counts]")) {
      const value = Math.round(JSON.parse(count.dataset.counts)[index]);
      count.textContent = value.toLocaleString("en");
    }
    cells.forEach(([, picks, lower], row) => {
      for (const [cell, value] of [[picks, rows[row][index]], [lower, rows[row][0] - rows[row][index]]]) {
        cell.textContent = cell.dataset.key = value;
      }
    });
    const mark = document.querySelector("[data-mark]");
    const shift = (level - Number(mark.dataset.mark)) * Number(mark.dataset.width);
    mark.setAttribute("transform", `translate(${shift} 0)`);
    for (const bar of document.querySelectorAll("[data-low]")) {
      bar.style.opacity = Number(bar.dataset.low) + 0.025 >= level ? "" : 0.35;
    }
    // Bars are stretched from their foot; where they would leave the chart, its scale grows.
    const grown = Math.ceil(Math.max(1, ...bars.map((bar) => bar.stretch[index] * bar.share)));
    for (const {bar, stretch, share, top, foot} of bars) {
      const by = stretch[index] / grown;
      bar.setAttribute("transform", `matrix(1 0 0 ${by} 0 ${foot * (1 - by)})`);
      const title = bar.querySelector("title"), value = stretch[index] * share * top;
      title.textContent = title.textContent.replace(/[^:]*$/, ` ${Number(value.toPrecision(3))}`);
    }
    for (const tick of document.querySelectorAll("[data-tick]")) {
      const value = Number(tick.dataset.tick) * grown;
      tick.querySelector("text").textContent = value.toLocaleString("en");
    }
  };
  slider.addEventListener("input", show);
  show();
}
// A click on a picture shows it as large as the window, another click closes it.
const large = document.querySelector("#large");
for (const frame of document.querySelectorAll(".shots .frame")) {
  const open = () => {
    const copy = frame.cloneNode(true), shape = frame.getBoundingClientRect();
    const fits = Math.min(innerWidth * 0.96, innerHeight * 0.94 * shape.width / shape.height);
    const width = Math.max(fits, 720); // a small window scrolls
    copy.style.width = `${width}px`;
    large.replaceChildren(copy);
    large.showModal();
  };
  frame.addEventListener("click", open);
  frame.addEventListener("keydown", (event) => { if (event.key === "Enter") open(); });
}
large.addEventListener("click", () => large.close());
