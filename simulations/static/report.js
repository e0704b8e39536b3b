// Draws the figures of a report. The tables need none of this. Colours come from the style sheet, so that a switch
// between dark and light draws everything anew.
"use strict";
(() => {
  const drawn = JSON.parse(document.getElementById("drawn").textContent);
  const root = document.documentElement;
  const plots = [];
  const small = ["time_to_100", "latency_p99", "bytes_per_update", "rmr", "coverage", "heal_100"];

  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const words = (name) => name.replaceAll("_", " ").replace("p999", "p99.9").replace("rmr", "RMR");
  const short = (value) => {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    if (size >= 1e6) return (value / 1e6).toPrecision(3) + " M";
    if (size >= 1e4) return Math.round(value).toLocaleString("en");
    return String(Number(value.toPrecision(4)));
  };

  function dressed(width, height, x, y, scales) {
    const axis = {
      stroke: css("--soft"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line"), width: 1 },
      font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif", labelSize: 18,
    };
    return {
      width, height, padding: [10, 12, 0, 0], scales: { x: { time: false, ...scales.x }, y: scales.y },
      axes: [
        { ...axis, label: x, values: (u, ticks) => ticks.map(short) },
        { ...axis, label: y, size: 62, values: (u, ticks) => ticks.map(short) },
      ],
      cursor: { points: { size: 7 }, drag: { x: true, y: false } }, legend: { live: true },
      series: [{ label: x, value: (u, v) => short(v) }],
    };
  }

  // A line with its band, and its bound as a dashed line. Data of a series: mean, low, high, bound.
  function add(options, data, line, colour, label, bounds) {
    const at = data.length;
    data.push(line.mean);
    options.series.push({ label, stroke: colour, width: 2, value: (u, v) => short(v), points: line.points });
    const wide = line.low.some((low, i) => low !== null && line.high[i] !== null && line.high[i] > low);
    if (wide) {
      data.push(line.high, line.low);
      const hidden = { stroke: "transparent", width: 0, points: { show: false }, value: () => "", class: "band" };
      options.series.push({ ...hidden, label: "" }, { ...hidden, label: "" });
      options.bands = [...(options.bands || []), { series: [at + 1, at + 2], fill: colour + "2e" }];
    }
    if (bounds && line.bound && line.bound.some((value) => value !== null)) {
      data.push(line.bound);
      const dash = { stroke: css("--bound"), width: 1.5, dash: [5, 4], points: { show: false } };
      options.series.push({ ...dash, label: bounds, value: (u, v) => short(v) });
    }
  }

  function draw(into, options, data) {
    const plot = new uPlot(options, data, into);
    for (const row of plot.root.querySelectorAll(".u-legend .band")) row.style.display = "none";
    plots.push(plot);
  }

  function faultsPlugin() {
    const faults = drawn.faults.filter((fault) => typeof fault.at === "number");
    return {
      hooks: {
        drawClear: [(u) => {
          const { ctx, bbox } = u, ratio = devicePixelRatio || 1;
          ctx.save();
          ctx.beginPath();
          ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
          ctx.clip();
          let level = 0;
          for (const fault of faults) {
            const from = u.valToPos(fault.at, "x", true);
            if (typeof fault.lasts === "number") {
              ctx.fillStyle = css("--shade");
              ctx.fillRect(from, bbox.top, u.valToPos(fault.at + fault.lasts, "x", true) - from, bbox.height);
            }
            ctx.strokeStyle = css("--bad");
            ctx.globalAlpha = 0.55;
            ctx.beginPath();
            ctx.moveTo(from, bbox.top);
            ctx.lineTo(from, bbox.top + bbox.height);
            ctx.stroke();
            ctx.globalAlpha = 1;
            if (level < 8) {
              ctx.fillStyle = css("--bad");
              ctx.textBaseline = "top";
              ctx.textAlign = "left";
              ctx.font = `${11 * ratio}px system-ui, sans-serif`;
              ctx.fillText(fault.kind || "", from + 4 * ratio, bbox.top + (3 + 13 * (level % 4)) * ratio);
            }
            level += 1;
          }
          ctx.restore();
        }],
      },
    };
  }

  function joined(lines) {
    const xs = [...new Set(lines.flatMap((line) => line.x))].sort((a, b) => a - b);
    const on = (line, values) => {
      const by = new Map(line.x.map((x, i) => [x, values[i]]));
      return xs.map((x) => (by.has(x) ? by.get(x) : undefined));
    };
    return [xs, lines.map((line) => ({
      ...line, mean: on(line, line.mean), low: on(line, line.low), high: on(line, line.high),
      bound: line.bound ? on(line, line.bound) : null,
    }))];
  }

  function curve(into) {
    const name = into.dataset.curve, found = drawn.curves[name] || [];
    if (!found.length) return;
    const [xs, lines] = joined(found.slice(0, 8));
    const scales = { x: {}, y: { range: (u, low, high) => [0, (name.startsWith("coverage") ? 100 : Math.max(high, 1)) * 1.02] } };
    const options = dressed(into.clientWidth, 300, found[0].x_unit, found[0].y_unit, scales);
    if (name === "missing_updates") options.plugins = [faultsPlugin()];
    const data = [xs];
    lines.forEach((line, i) => {
      const alone = lines.length === 1;
      const gaps = { ...line, points: { show: false } };
      add(options, data, gaps, css(`--c${i % 8}`), alone ? "measured" : line.label, alone && "bound");
      options.series.forEach((each) => { each.spanGaps = true; });
    });
    draw(into, options, data);
  }

  function swept(into, measure, height) {
    const [xs, found] = joined(measure.series.slice(0, 8));
    const positive = found.every((line) => line.mean.every((value) => !(value < 0)));
    const floor = (value) => (positive && value < 0 ? 0 : value);  // an interval of what cannot be negative
    const lines = found.map((line) => ({ ...line, low: line.low.map(floor) }));
    const range = (u, low, high) => [Math.min(0, low), high > 0 ? high * 1.06 : 1];
    const label = words(measure.name) + (measure.unit ? `, ${measure.unit}` : "");
    const wide = xs.length > 2 && xs[0] > 0 && xs[xs.length - 1] / xs[0] >= 30;
    const scales = { x: wide ? { distr: 3 } : { range: (u, a, b) => [a - (b - a) * 0.03, b + (b - a) * 0.03] }, y: { range } };
    const options = dressed(into.clientWidth, height, drawn.sweep.key, label, scales);
    if (wide) options.axes[0].splits = () => xs;
    const data = [xs];
    lines.forEach((line, i) => {
      const points = { show: true, size: 6, fill: css("--card") };
      add(options, data, { ...line, points }, css(`--c${i % 8}`), lines.length === 1 ? "mean" : line.label, i === 0 && "bound");
    });
    draw(into, options, data);
  }

  function sweep() {
    const pick = document.getElementById("pick");
    if (!drawn.sweep || !pick) return;
    const named = new Map(drawn.sweep.measures.map((measure) => [measure.name, measure]));
    if (!pick.options.length) {
      for (const measure of drawn.sweep.measures) pick.add(new Option(words(measure.name), measure.name));
      pick.value = named.has("latency_p50") ? "latency_p50" : drawn.sweep.measures[0].name;
      pick.addEventListener("change", all);
    }
    const picked = document.getElementById("picked");
    picked.replaceChildren();
    swept(picked, named.get(pick.value), 320);
    const others = document.getElementById("small");
    others.replaceChildren();
    const wanted = [];
    for (const name of small.filter((each) => named.has(each) && each !== pick.value)) {
      const figure = document.createElement("figure"), caption = document.createElement("figcaption");
      const about = document.createElement("small"), into = document.createElement("div");
      caption.textContent = words(name);
      about.textContent = named.get(name).about;
      caption.append(about);
      into.className = "plot";
      figure.append(caption, into);
      others.append(figure);
      wanted.push([into, named.get(name)]);
    }
    for (const [into, measure] of wanted) swept(into, measure, 220);  // when the grid has its columns
  }

  function all() {
    for (const plot of plots.splice(0)) plot.destroy();
    for (const into of document.querySelectorAll("[data-curve]")) curve(into);
    sweep();
    root.dataset.ready = "yes";
  }

  const dark = matchMedia("(prefers-color-scheme: dark)");
  root.dataset.theme = dark.matches ? "dark" : "light";
  dark.addEventListener("change", (event) => { root.dataset.theme = event.matches ? "dark" : "light"; all(); });
  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
    all();
  });
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth !== width) { width = innerWidth; all(); }
  });
  all();
})();
