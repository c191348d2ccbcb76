// Replace each drawn line by a chart that answers to the pointer. Without this script the drawing and the table stay.
(() => {
  "use strict";
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const text = (value) => (value === null || value === undefined ? "–" : String(Number(value.toPrecision(6))));
  const charts = [];

  function draw(place) {
    const { versions, values } = JSON.parse(place.dataset.series);
    if (values.filter((value) => value !== null).length < 2) return;
    const told = document.createElement("p");
    told.className = "told";
    told.setAttribute("aria-hidden", "true");
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px Inter, sans-serif" };
    const size = () => ({ width: place.clientWidth, height: place.closest(".one") ? 320 : 150 });
    const drawing = place.querySelector("svg");
    const options = {
      ...size(),
      legend: { show: false },
      cursor: { y: false, points: { size: 8 } },
      scales: { x: { time: false } },
      axes: [
        { ...axis, grid: { show: false }, size: 30, gap: 8, values: (_, ticks) => ticks.map((at) => (Number.isInteger(at) ? versions[at] ?? "" : "")) },
        { ...axis, size: 52, space: 36, values: (_, ticks) => ticks.map(text) },
      ],
      series: [{}, { stroke: colour("--accent"), width: 2, spanGaps: false, points: { show: versions.length <= 40, size: 6, fill: colour("--accent") } }],
      hooks: {
        setCursor: [(chart) => {
          const at = chart.cursor.idx;
          told.textContent = at === null || at === undefined ? "" : `${versions[at]}: ${text(values[at])}`;
        }],
      },
    };
    const chart = new uPlot(options, [versions.map((_, at) => at), values], place);
    drawing.classList.add("hidden"); // it says in words, for who cannot see the chart, what there is
    place.append(told);
    charts.push({ chart, size, drawing, told, place });
  }

  const all = () => document.querySelectorAll(".plot[data-series]").forEach(draw);
  all();
  let waiting = 0;
  addEventListener("resize", () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => charts.forEach(({ chart, size }) => chart.setSize(size())));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    charts.splice(0).forEach(({ chart, drawing, told }) => {
      chart.destroy();
      told.remove();
      drawing.classList.remove("hidden");
    });
    all();
  });
})();
