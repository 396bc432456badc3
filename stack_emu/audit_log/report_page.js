"use strict";
const by = (name) => document.getElementById("by-" + name);
const fields = ["agent", "action", "outcome"];
const rows = [...document.querySelectorAll(".row")];
const holders = [[".act", ".row"], [".lane", ".row"]];
function apply() {
  const wanted = fields.map((name) => [name, by(name).value]).filter(([, value]) => value !== "");
  const words = by("text").value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of rows) {
    const fits = wanted.every(([name, value]) => row.dataset[name] === value) && words.every((word) => row.dataset.text.includes(word));
    row.hidden = !fits;
    if (fits) shown += 1;
  }
  for (const [holder, held] of holders)
    for (const one of document.querySelectorAll(holder))
      one.hidden = one.querySelector(held + ":not([hidden])") === null;
  document.getElementById("shown").textContent = `${shown} of ${rows.length} rows`;
}
const form = document.getElementById("filter");
form.addEventListener("input", apply);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => requestAnimationFrame(apply));
apply();
