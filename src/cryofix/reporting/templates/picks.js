"use strict";
// The slider hides picks of lower score and counts the rest; without it the page shows the picks.
const slider = document.querySelector("#threshold");
if (slider) {
  const levels = JSON.parse(slider.dataset.levels);
  const show = () => {
    const index = Number(slider.value), level = levels[index];
    document.querySelector("#level").textContent = level.toFixed(3);
    for (const band of document.querySelectorAll("[data-band]")) {
      band.toggleAttribute("data-hidden", Number(band.dataset.band) < index);
    }
    for (const count of document.querySelectorAll("[data-counts]")) {
      count.textContent = JSON.parse(count.dataset.counts)[index].toLocaleString("en");
    }
    const mark = document.querySelector("[data-mark]");
    const shift = (level - Number(mark.dataset.mark)) * Number(mark.dataset.width);
    mark.setAttribute("transform", `translate(${shift} 0)`);
  };
  slider.addEventListener("input", show);
  show();
}
