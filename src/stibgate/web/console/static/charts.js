// The charts of the overview: three lines-over-time from one document of numbers, drawn by uPlot in the page's colours.
"use strict";

(() => {
  const root = document.querySelector("[data-charts]");
  if (!root || typeof uPlot === "undefined") return;

  const HEIGHT = 170;
  const DASHES = [[], [6, 4], [2, 3], [10, 3, 2, 3]];
  // [at least this many seconds between ticks, the tick, ..., at a new day]: see uPlot's axis.values
  const TIMES = [
    [86400, "{MM}-{DD}", null, null, null, null, null, null, 1],
    [60, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
  ];
  const drawn = [];
  const named = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const hue = (line, index) => named({ rejected: "--bad", p99: "--warn" }[line] || ["--accent", "--good", "--warn", "--bad"][index % 4]);

  const axis = (extra) => ({ stroke: named("--muted"), grid: { stroke: named("--line"), width: 1 }, ticks: { stroke: named("--line"), size: 4 }, font: "12px system-ui", ...extra });

  // A value between two gaps has no line to anywhere.
  const lonely = (plot, series) => plot.data[series].flatMap((value, at, line) =>
    value !== null && (line[at - 1] ?? null) === null && (line[at + 1] ?? null) === null ? [at] : []);

  function draw(place, at, lines) {
    const names = Object.keys(lines);
    const none = !at.length || !names.length;
    place.classList.toggle("muted", none);
    if (none) {
      place.textContent = "Nothing yet.";
      return;
    }
    const options = {
      width: place.clientWidth,
      height: HEIGHT,
      tzDate: (s) => uPlot.tzDate(new Date(s * 1e3), "Etc/UTC"),
      legend: { live: true },
      cursor: { y: false, drag: { setScale: false, x: false } },
      scales: { y: { range: (_, low, high) => [0, Math.max(high || 0, 1)] } },
      axes: [axis({ values: TIMES }), axis({ size: 46 })],
      // Lines differ by their dashes, too: nobody needs the colour.
      series: [{ label: "UTC", value: "{YYYY}-{MM}-{DD} {HH}:{mm}" }, ...names.map((name, index) => ({ label: name, stroke: hue(name, index), width: 1.5, dash: DASHES[index % DASHES.length], points: { show: true, filter: lonely, size: 4 } }))],
    };
    drawn.push([place, new uPlot(options, [at, ...names.map((name) => lines[name])], place)]);
  }

  async function show() {
    let numbers;
    try {
      const answer = await fetch(root.dataset.charts, { headers: { Accept: "application/json" } });
      if (!answer.ok || answer.redirected) return;
      numbers = await answer.json();
    } catch {
      return;
    }
    drawn.splice(0).forEach(([, plot]) => plot.destroy());
    for (const place of root.querySelectorAll("[data-chart]")) {
      place.textContent = "";
      draw(place, numbers.at_s, numbers[place.dataset.chart]);
    }
  }

  // Lines move by the minute; the first ones are looked for as often as the rest of the page is.
  let turn = 0;
  show();
  setInterval(() => document.hidden || (++turn % 3 && drawn.length === 3) || show(), 10000);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  addEventListener("resize", () => drawn.forEach(([place, plot]) => plot.setSize({ width: place.clientWidth, height: HEIGHT })));
})();
