// Draws the figures of the page from the numbers in #charts (see chart.py) as SVG, with values under the pointer and a
// legend that switches lines on and off. No library, no network.
"use strict";
(() => {
  const { markers, figures } = JSON.parse(document.getElementById("charts").textContent);
  const SHAPES = {
    s: "M-4-4H4V4H-4Z",
    o: "M-4 0A4 4 0 1 0 4 0A4 4 0 1 0-4 0Z",
    "^": "M0-5L5 4H-5Z",
    v: "M0 5L5-4H-5Z",
    D: "M0-5L5 0L0 5L-5 0Z",
  };
  const CHARACTER = 6.3; // Pixels, about, of a character of an axis.

  function make(parent, tag, attributes = {}, text = "") {
    const svg = tag !== "div" && tag !== "button" && tag !== "h4" && tag !== "b";
    const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(text);
    parent.append(element);
    return element;
  }

  // A function from values to pixels.
  function scale(axis, from, to) {
    const at = axis.log ? Math.log : (value) => value;
    const [low, high] = [at(axis.low), at(axis.high)];
    return (value) => from + ((at(value) - low) / (high - low || 1)) * (to - from);
  }

  function stroke(series) {
    const dashes = series.dashed ? "stroke-dasharray: 5 4;" : "";
    return `stroke: var(--${series.colour}); fill: none; stroke-width: ${series.dashed ? 1.5 : 2}; ${dashes}`;
  }

  function marker(parent, series, x, y) {
    const fill = series.dashed ? "--ground" : `--${series.colour}`;
    const style = `fill: var(${fill}); stroke: var(--${series.colour}); stroke-width: 1.5`;
    make(parent, "path", { d: SHAPES[markers[series.colour]], transform: `translate(${x} ${y}) scale(.85)`, style });
  }

  function drawAxes(svg, panel, area, x, y) {
    for (const [value, label] of panel.y.ticks) {
      make(svg, "line", { class: "grid", x1: area.left, x2: area.right, y1: y(value), y2: y(value) });
      make(svg, "text", { x: area.left - 6, y: y(value) + 4, "text-anchor": "end" }, label);
    }
    make(svg, "line", { class: "frame", x1: area.left, x2: area.right, y1: area.bottom, y2: area.bottom });
    let free = -Infinity;
    for (const [value, label] of panel.x.ticks) {
      const half = (label.length * CHARACTER) / 2;
      make(svg, "line", { class: "frame", x1: x(value), x2: x(value), y1: area.bottom, y2: area.bottom + 4 });
      if (x(value) - half < free) continue;
      free = x(value) + half + 4;
      make(svg, "text", { x: x(value), y: area.bottom + 17, "text-anchor": "middle" }, label);
    }
    make(svg, "text", { x: 0, y: 11 }, panel.y.label);
    make(svg, "text", { x: area.right, y: area.bottom + 33, "text-anchor": "end" }, panel.x.label);
  }

  function drawSeries(svg, series, x, y) {
    const style = `fill: var(--${series.colour}); stroke: var(--${series.colour}); opacity: .2`;
    for (const points of series.joined ? [series.points] : series.points.map((p) => [p])) {
      const upper = points.map((p) => `${x(p[0])} ${y(p[3])}`);
      const lower = points.map((p) => `${x(p[0])} ${y(p[2])}`).reverse();
      if (points.some((p) => p[2] !== p[3])) make(svg, "path", { d: `M${upper.concat(lower).join("L")}Z`, style });
    }
    const path = "M" + series.points.map((p) => `${x(p[0])} ${y(p[1])}`).join("L");
    if (series.joined) make(svg, "path", { d: path, style: stroke(series) });
    if (series.points.length <= 20) for (const p of series.points) marker(svg, series, x(p[0]), y(p[1]));
  }

  // Names at the lines' ends, pushed apart where they would overlap.
  function drawNames(svg, shown, area, x, y) {
    const names = shown.map((series) => ({ series, last: series.points[series.points.length - 1] }));
    names.sort((a, b) => y(a.last[1]) - y(b.last[1]));
    const tops = names.map(({ last }) => y(last[1]));
    for (let i = 1; i < tops.length; i++) tops[i] = Math.max(tops[i], tops[i - 1] + 12);
    const excess = Math.max(0, (tops[tops.length - 1] ?? 0) - area.bottom);
    for (let i = tops.length - 1, limit = area.bottom; excess && i >= 0; i--, limit -= 12) tops[i] = Math.min(tops[i], limit);
    names.forEach(({ series, last }, i) => {
      make(svg, "text", { class: "end", x: x(last[0]) + 8, y: tops[i] + 4, style: `fill: var(--${series.colour})` }, series.name);
    });
  }

  function showValues(panel, shown, area, x, guide, tip, event) {
    const box = guide.ownerSVGElement.getBoundingClientRect();
    const pointer = ((event.clientX - box.left) * area.width) / box.width;
    const values = [...new Set(shown.flatMap((series) => series.points.map((p) => p[0])))];
    if (!values.length) return;
    const nearest = values.reduce((a, b) => (Math.abs(x(b) - pointer) < Math.abs(x(a) - pointer) ? b : a));
    guide.setAttribute("x1", x(nearest));
    guide.setAttribute("x2", x(nearest));
    guide.style.visibility = "visible";
    const tick = panel.x.ticks.find(([value]) => value === nearest);
    tip.replaceChildren();
    make(tip, "div", {}, `${panel.x.label} ${tick ? tick[1] : nearest.toLocaleString("en")}`);
    for (const series of shown) {
      const point = series.points.find((p) => p[0] === nearest);
      if (!point) continue;
      const row = make(tip, "div", { style: `color: var(--${series.colour})` }, `${series.name}: `);
      const number = (value) => (panel.digits === 3 ? Number(value.toPrecision(4)) : Number(value.toFixed(panel.digits))).toString();
      make(row, "b", {}, number(point[1]));
      if (point[2] !== point[3]) row.append(` (${number(point[2])} to ${number(point[3])})`);
    }
    tip.hidden = false;
    const side = x(nearest) > area.width / 2 ? x(nearest) - tip.offsetWidth - 10 : x(nearest) + 10;
    tip.style.left = `${Math.max(0, Math.min(side, area.width - tip.offsetWidth))}px`;
    tip.style.top = "36px";
  }

  function drawPanel(holder, panel, hidden) {
    holder.replaceChildren();
    make(holder, "h4", {}, panel.title);
    const shown = panel.series.filter((series) => series.points.length && !hidden.has(series.name));
    const width = Math.max(220, holder.clientWidth);
    const height = Math.min(340, Math.max(215, width * 0.62));
    const ends = panel.label_ends ? 14 + CHARACTER * Math.max(...panel.series.map((series) => series.name.length)) : 14;
    const left = 12 + CHARACTER * Math.max(...panel.y.ticks.map(([, label]) => label.length));
    const area = { left, right: width - ends, top: 24, bottom: height - 40, width };
    const svg = make(holder, "svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${panel.title}: ${panel.y.label} against ${panel.x.label}` });
    const x = scale(panel.x, area.left, area.right);
    const y = scale(panel.y, area.bottom, area.top);
    drawAxes(svg, panel, area, x, y);
    const guide = make(svg, "line", { class: "guide", y1: area.top, y2: area.bottom });
    for (const series of shown) drawSeries(svg, series, x, y);
    if (panel.label_ends) drawNames(svg, shown, area, x, y);
    const tip = make(holder, "div", { class: "tip", hidden: "" });
    const show = (event) => showValues(panel, shown, area, x, guide, tip, event);
    svg.addEventListener("pointermove", show);
    svg.addEventListener("pointerdown", show);
    svg.addEventListener("pointerleave", () => {
      tip.hidden = true;
      guide.style.visibility = "hidden";
    });
  }

  function drawLegend(holder, figure, hidden, redraw) {
    const seen = new Map();
    for (const panel of figure.panels) for (const series of panel.series) if (!seen.has(series.name)) seen.set(series.name, series);
    for (const series of seen.values()) {
      const button = make(holder, "button", { type: "button", "aria-pressed": "true" });
      const sample = make(button, "svg", { viewBox: "0 0 28 12", "aria-hidden": "true" });
      if (series.joined) make(sample, "path", { d: "M1 6H27", style: stroke(series) });
      marker(sample, series, 14, 6);
      button.append(series.name);
      button.addEventListener("click", () => {
        if (!hidden.delete(series.name)) hidden.add(series.name);
        button.setAttribute("aria-pressed", String(!hidden.has(series.name)));
        redraw();
      });
    }
  }

  const redraws = [];
  for (const element of document.querySelectorAll("[data-figure]")) {
    const figure = figures[element.dataset.figure];
    const panels = element.querySelector(".panels");
    const holders = figure.panels.map(() => make(panels, "div", { class: "panel" }));
    const hidden = new Set();
    const redraw = () => figure.panels.forEach((panel, i) => drawPanel(holders[i], panel, hidden));
    drawLegend(element.querySelector(".legend"), figure, hidden, redraw);
    let width = 0;
    new ResizeObserver(() => {
      if (panels.clientWidth !== width) redraw();
      width = panels.clientWidth;
    }).observe(panels);
    redraws.push(redraw);
  }

  // Drawn for the width of paper, or else the letters of wide figures would shrink with them.
  function drawFor(width) {
    document.body.style.width = width;
    redraws.forEach((redraw) => redraw());
    document.body.style.width = "";
  }
  const folded = document.querySelectorAll("details");
  addEventListener("beforeprint", () => {
    folded.forEach((part) => (part.dataset.open = part.open));
    folded.forEach((part) => (part.open = true));
    drawFor("190mm");
  });
  addEventListener("afterprint", () => {
    folded.forEach((part) => (part.open = part.dataset.open === "true"));
    drawFor("");
  });
})();
