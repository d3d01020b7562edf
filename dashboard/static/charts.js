// The throughput curve: hours as JSON in an attribute of its place; the table beside it says the same to everybody.
"use strict";

(() => {
  const drawn = new Set();
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function bytes(value) {
    let amount = value;
    for (const unit of ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]) {
      if (Math.abs(amount) < 1024 || unit === "PiB") return `${amount >= 100 || unit === "B" ? Math.round(amount) : amount.toFixed(1)} ${unit}`;
      amount /= 1024;
    }
    return "";
  }

  function draw(place) {
    const hours = JSON.parse(place.dataset.hours);
    const grid = { stroke: colour("--line"), width: 1 };
    const axis = { stroke: colour("--faint"), grid, ticks: grid };
    place.replaceChildren();
    const chart = new uPlot({
      width: Math.max(place.clientWidth, 200),
      height: 190,
      cursor: { drag: { x: false, y: false } },
      legend: { show: false },
      scales: { x: { time: true }, y: { range: (_u, _min, max) => [0, max || 1] } },
      axes: [axis, { ...axis, size: 74, values: (_u, values) => values.map(bytes) }],
      series: [{}, { label: "arrived in the hour", stroke: colour("--busy"), fill: `${colour("--busy")}33`, width: 1.5, points: { show: false },
        paths: uPlot.paths.stepped({ align: 1 }) }],
    }, [hours.map((one) => one[0]), hours.map((one) => one[1])], place);
    drawn.add({ place, chart });
  }

  function all() {
    for (const one of drawn) { one.chart.destroy(); drawn.delete(one); }
    for (const place of document.querySelectorAll(".curve[data-hours]")) draw(place);
  }

  let waiting = 0;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(all, 150); });
  document.addEventListener("theme-changed", all);
  document.addEventListener("parts-changed", all);
  document.body.addEventListener("htmx:sseMessage", (event) => { if (event.target.querySelector(".curve")) all(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
  all();
})();
