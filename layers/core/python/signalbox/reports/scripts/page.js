// Interactive parts of a page: the price chart (zoom, pan, hover, symbol and period) and tables that sort, filter and page.
// It loads and sends nothing. Data: reports/price_chart.py and reports/data_table.py. Every text goes to the page as text.
"use strict";
(() => {
const make = (tag, props = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...children);
  return node;
};
const read = host => JSON.parse(host.querySelector('script[type="application/json"]').textContent);
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const two = n => String(n).padStart(2, "0");
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const stamp = t => {
  const d = new Date(t * 1000), s = d.getUTCSeconds();
  return `${d.getUTCFullYear()}-${two(d.getUTCMonth() + 1)}-${two(d.getUTCDate())} ${two(d.getUTCHours())}:${two(d.getUTCMinutes())}${s ? ":" + two(s) : ""}`;
};
const grouped = (value, decimals) =>
  (Math.abs(value) < 0.5 * 10 ** -decimals ? 0 : value).toLocaleString("en-US", {minimumFractionDigits: decimals, maximumFractionDigits: decimals});
const signed = (value, decimals) => (value > 0 ? "+" : "") + grouped(value, decimals);
const DAY = 86400;
const WORDS = {r: "right", w: "wrong", n: "outcome not known yet", B: "BUY", S: "SELL", H: "HIGH", M: "MEDIUM", L: "LOW"};

function unpack(packed) {
  const {rows, decimals, minutes, name} = packed, unit = 10 ** -decimals, n = rows.length / 6;
  const t = new Float64Array(n), o = new Float64Array(n), h = new Float64Array(n), l = new Float64Array(n), c = new Float64Array(n), v = new Float64Array(n);
  let number = 0, close = 0;
  for (let i = 0, k = 0; i < n; i++, k += 6) {
    number += rows[k];
    const open = close + rows[k + 1];
    close = open + rows[k + 4];
    t[i] = number * minutes * 60; o[i] = open * unit; h[i] = (open + rows[k + 2]) * unit; l[i] = (open - rows[k + 3]) * unit;
    c[i] = close * unit; v[i] = rows[k + 5];
  }
  return {name, decimals, step: minutes * 60, t, o, h, l, c, v, n};
}

function firstAt(sorted, value) {
  let low = 0, high = sorted.length;
  while (low < high) { const mid = (low + high) >> 1; if (sorted[mid] < value) low = mid + 1; else high = mid; }
  return low;
}

function priceChart(host) {
  const data = read(host), series = data.symbols.map(unpack);
  const signals = data.signals.map(([s, t, side, tier, price, outcome]) => ({s, t, side, tier, price, outcome}));
  const trades = data.trades.map(([s, side, t, entry, stop, target, until, exit, profit, leg, tier], index) =>
    ({s, side, t, entry, stop, target, until, exit, profit, leg, tier, index}));
  const whole = [data.start, Math.max(data.end, data.start + 60)];
  let symbol = 0, from = whole[0], to = whole[1], pointer = null, chosen = -1, queued = false;
  const show = {signals: true, trades: true, levels: true};

  const bar = make("div", {className: "bar-of"}), dates = make("div", {className: "bar-of"});
  const pick = make("select", {ariaLabel: "symbol"});
  series.forEach((one, i) => pick.append(make("option", {value: i, textContent: one.name})));
  pick.onchange = () => { symbol = +pick.value; chosen = -1; draw(); };
  bar.append(pick);
  const spans = [["6 h", 6 * 3600], ["1 day", DAY], ["1 week", 7 * DAY], ["1 month", 30 * DAY]].filter(([, s]) => s < whole[1] - whole[0]);
  spans.forEach(([name, length]) => bar.append(make("button", {type: "button", textContent: name, onclick: () => {
    const middle = Math.min(Math.max((from + to) / 2, whole[0] + length / 2), whole[1] - length / 2);
    view(middle - length / 2, middle + length / 2);
  }})));
  bar.append(make("button", {type: "button", textContent: "all", onclick: () => view(...whole)}));
  [["signals", "signals"], ["trades", "trades"], ["levels", "stops and targets"]].forEach(([key, name]) => {
    const box = make("input", {type: "checkbox", checked: true, onchange: () => { show[key] = box.checked; draw(); }});
    bar.append(make("label", {}, box, name));
  });
  const turn = step => {
    const own = trades.filter(one => one.s === symbol);
    if (!own.length) return;
    const at = own.findIndex(one => one.index === chosen);
    goTo(own[at < 0 ? (step > 0 ? 0 : own.length - 1) : Math.min(Math.max(at + step, 0), own.length - 1)].index);
  };
  if (trades.length) {
    bar.append(make("button", {type: "button", textContent: "◀ trade", ariaLabel: "previous trade", onclick: () => turn(-1)}));
    bar.append(make("button", {type: "button", textContent: "trade ▶", ariaLabel: "next trade", onclick: () => turn(1)}));
  }
  const edge = (name, set) => {
    const input = make("input", {type: "datetime-local", onchange: () => { const t = Date.parse(input.value + "Z") / 1000; if (isFinite(t)) set(t); }});
    dates.append(make("label", {}, name, input));
    return input;
  };
  const first = edge("from (UTC)", t => view(t, Math.max(to, t + 600))), last = edge("to (UTC)", t => view(Math.min(from, t - 600), t));
  const canvas = make("canvas", {tabIndex: 0}), readout = make("p", {className: "readout"});
  canvas.setAttribute("role", "img");
  readout.setAttribute("aria-live", "polite");
  const key = make("div", {className: "key"});
  key.append("▲ ▼ signal (filled: tier HIGH, with a dot below: it was wrong)", make("span", {textContent: "◆ entry, ✕ exit, joined in green for a profit and in red for a loss"}),
    make("span", {textContent: "dotted: stop (red) and target (green)"}), make("span", {textContent: "wheel or two fingers: zoom; drag: pan; double click: all; arrow keys, + and −"}));
  host.append(bar, dates, canvas, readout, key);

  function view(a, b) {
    const length = Math.min(Math.max(b - a, 10 * series[symbol].step), whole[1] - whole[0]);
    const middle = (a + b) / 2;
    from = Math.min(Math.max(middle - length / 2, whole[0]), whole[1] - length);
    to = from + length;
    draw();
  }
  function goTo(index) {
    const one = trades[index], until = one.until ?? whole[1], room = Math.max((until - one.t) * 1.2, 20 * series[one.s].step);
    symbol = one.s; pick.value = symbol; chosen = index;
    view(one.t - room, until + room);
    host.scrollIntoView({block: "nearest"});
  }
  host.goTo = goTo;
  function draw() { if (!queued) { queued = true; requestAnimationFrame(paint); } }

  function paint() {
    queued = false;
    const one = series[symbol], ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    canvas.width = width * ratio; canvas.height = height * ratio;
    const g = canvas.getContext("2d");
    g.scale(ratio, ratio);
    const ink = colour("--ink"), soft = colour("--soft"), line = colour("--line"), buy = colour("--buy"), sell = colour("--sell"), blue = colour("--c0");
    g.clearRect(0, 0, width, height);
    g.font = `${width < 500 ? 11 : 12}px system-ui, sans-serif`;
    const left = 6, right = width - Math.ceil(g.measureText(grouped(one.n ? Math.max(...sampled(one.h)) : 0, one.decimals)).width) - 12;
    const bottom = height - 24, floor = bottom - Math.round(height * 0.15), top = 10;
    first.value = stamp(from).slice(0, 16).replace(" ", "T"); last.value = stamp(to).slice(0, 16).replace(" ", "T");
    const pad = 9, x = t => left + pad + (t - from) / (to - from) * (right - left - 2 * pad);  // room for a mark at either end
    const begin = Math.max(firstAt(one.t, from - one.step + 1), 0), end = firstAt(one.t, to);
    const seen = trades.filter(s => show.trades && s.s === symbol && s.t <= to && (s.until ?? whole[1]) >= from);
    const marks = signals.filter(s => show.signals && s.s === symbol && s.t >= from && s.t <= to);
    canvas.setAttribute("aria-label", `${one.name}: candles from ${stamp(from)} to ${stamp(to)} UTC, ${marks.length} signals, ${seen.length} trades`);
    if (begin >= end) {
      g.fillStyle = soft; g.textAlign = "center"; g.fillText("no bars in this period", (left + right) / 2, (top + floor) / 2);
      return;
    }
    // Bars narrower than two pixels are joined, so that the picture stays true at any zoom.
    const group = Math.max(1, Math.ceil(2.5 * (to - from) / one.step / (right - left)));
    const bars = [];
    for (let i = begin; i < end;) {
      const slot = Math.floor(one.t[i] / (group * one.step)), b = {t: one.t[i], o: one.o[i], h: one.h[i], l: one.l[i], c: one.c[i], v: 0};
      for (; i < end && Math.floor(one.t[i] / (group * one.step)) === slot; i++) {
        b.h = Math.max(b.h, one.h[i]); b.l = Math.min(b.l, one.l[i]); b.c = one.c[i]; b.v += one.v[i];
      }
      bars.push(b);
    }
    let low = Infinity, high = -Infinity, most = 0;
    for (const b of bars) { low = Math.min(low, b.l); high = Math.max(high, b.h); most = Math.max(most, b.v); }
    const near = seen.length <= 40;
    if (near && show.levels) for (const s of seen) { low = Math.min(low, s.stop, s.target ?? s.stop); high = Math.max(high, s.stop, s.target ?? s.stop); }
    const room = (high - low || high * 0.001) * 0.07; low -= room; high += room;
    const y = p => floor - 6 - (p - low) / (high - low) * (floor - 6 - top);
    // Grid and axes
    g.lineWidth = 1; g.textBaseline = "middle"; g.textAlign = "left";
    const rough = (high - low) / 6, scale = 10 ** Math.floor(Math.log10(rough)), step = [1, 2, 2.5, 5, 10].map(s => s * scale).find(s => s >= rough);
    const places = Math.min(one.decimals, Math.max(0, (step === 2.5 * scale ? 1 : 0) - Math.floor(Math.log10(step) + 1e-9)));
    for (let p = Math.ceil(low / step) * step; p <= high; p += step) {
      g.strokeStyle = line; g.beginPath(); g.moveTo(left, y(p)); g.lineTo(right, y(p)); g.stroke();
      g.fillStyle = soft; g.fillText(grouped(p, places), right + 6, y(p));
    }
    const steps = [60, 300, 900, 1800, 3600, 7200, 10800, 21600, 43200, DAY, 2 * DAY, 5 * DAY, 10 * DAY, 30 * DAY, 90 * DAY, 365 * DAY];
    const wide = steps.find(s => (to - from) / s <= (right - left) / 75) || 365 * DAY;
    g.textAlign = "center";
    for (let t = Math.ceil(from / wide) * wide; t <= to; t += wide) {
      const d = new Date(t * 1000);
      g.strokeStyle = line; g.beginPath(); g.moveTo(x(t), top); g.lineTo(x(t), bottom); g.stroke();
      const label = wide >= DAY || t % DAY === 0 ? `${MONTHS[d.getUTCMonth()]} ${two(d.getUTCDate())}` : `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}`;
      const half = g.measureText(label).width / 2;
      if (x(t) - half > 2 && x(t) + half < right) { g.fillStyle = soft; g.fillText(label, x(t), bottom + 13); }
    }
    g.textAlign = "left"; g.fillStyle = soft; g.fillText("UTC", right + 6, bottom + 13); g.fillText("volume", right + 6 > width - 48 ? width - 48 : right + 6, floor + 10);
    g.save(); g.beginPath(); g.rect(left, top, right - left, bottom - top); g.clip();
    // Candles and volume
    const body = Math.max(1, Math.min(group * one.step / (to - from) * (right - left) * 0.7, 14));
    for (const b of bars) {
      const middle = x(b.t + group * one.step / 2), up = b.c >= b.o;
      g.strokeStyle = g.fillStyle = up ? buy : sell;
      g.globalAlpha = 0.35; const tall = most ? b.v / most * (bottom - floor - 2) : 0; g.fillRect(middle - body / 2, bottom - tall, body, tall);
      g.globalAlpha = 1; g.beginPath(); g.moveTo(middle, y(b.h)); g.lineTo(middle, y(b.l)); g.stroke();
      g.fillRect(middle - body / 2, Math.min(y(b.o), y(b.c)), body, Math.max(Math.abs(y(b.o) - y(b.c)), 1));
    }
    // Trades: levels and the way from entry to exit; the profits come last, over the marks
    const profits = [];
    for (const s of seen) {
      const a = x(s.t), b = x(s.until ?? to), shade = s.profit === null ? blue : s.profit > 0 ? buy : sell;
      if (near && show.levels) {
        g.setLineDash([2, 3]); g.lineWidth = 1.4;
        for (const [price, tint] of [[s.stop, sell], [s.target, buy]]) if (price !== null) { g.strokeStyle = tint; g.beginPath(); g.moveTo(a, y(price)); g.lineTo(Math.max(b, a + 6), y(price)); g.stroke(); }
        g.setLineDash([]);
      }
      g.strokeStyle = shade; g.lineWidth = s.index === chosen ? 3.5 : 2;
      if (s.exit !== null) { g.beginPath(); g.moveTo(a, y(s.entry)); g.lineTo(b, y(s.exit)); g.stroke(); }
      if (!near) continue;
      g.fillStyle = ink; g.beginPath(); g.moveTo(a, y(s.entry) - 5); g.lineTo(a + 5, y(s.entry)); g.lineTo(a, y(s.entry) + 5); g.lineTo(a - 5, y(s.entry)); g.fill();
      if (s.exit !== null) { const v = y(s.exit); g.strokeStyle = ink; g.lineWidth = 2; g.beginPath(); g.moveTo(b - 4, v - 4); g.lineTo(b + 4, v + 4); g.moveTo(b - 4, v + 4); g.lineTo(b + 4, v - 4); g.stroke(); }
      if (seen.length <= 12 && s.profit !== null) {
        const label = `${signed(s.profit, 2)}`, half = g.measureText(label).width / 2;
        profits.push([label, shade, Math.min(Math.max(b, left + half), right - half), y(s.exit) + (s.exit > s.entry ? -13 : 13)]);
      }
    }
    // Signals below and above their bar
    // Of too many to tell apart, only a hint is left until the reader zooms in.
    g.lineWidth = 1.3; g.globalAlpha = marks.length > 150 ? 0.4 : 1;
    for (const s of marks) {
      const up = s.side === "B", i = Math.min(Math.max(firstAt(one.t, s.t) - 1, begin), end - 1), at = x(s.t);
      const v = up ? y(one.l[i]) + 11 : y(one.h[i]) - 11, d = up ? 1 : -1, size = marks.length > 150 ? 2 : s.tier === "H" ? 5.5 : 4;
      g.strokeStyle = g.fillStyle = up ? buy : sell;
      g.beginPath(); g.moveTo(at, v - d * size); g.lineTo(at + size, v + d * size * 0.7); g.lineTo(at - size, v + d * size * 0.7); g.closePath();
      if (s.tier === "H") g.fill(); g.stroke();
      if (s.outcome === "w" && marks.length <= 150) { g.beginPath(); g.arc(at, v + d * (size + 3), 1.4, 0, 7); g.fillStyle = soft; g.fill(); }
    }
    g.globalAlpha = 1;
    g.textAlign = "center"; g.lineWidth = 3; g.lineJoin = "round"; g.strokeStyle = colour("--paper");
    for (const [label, shade, at, v] of profits) { g.strokeText(label, at, v); g.fillStyle = shade; g.fillText(label, at, v); }
    // Crosshair and what is under it
    if (pointer && pointer.x >= left && pointer.x <= right) {
      const t = from + (pointer.x - left - pad) / (right - left - 2 * pad) * (to - from), i = Math.min(Math.max(firstAt(one.t, t + 1) - 1, begin), end - 1), middle = x(one.t[i] + one.step / 2);
      g.strokeStyle = soft; g.lineWidth = 1; g.setLineDash([4, 4]);
      g.beginPath(); g.moveTo(middle, top); g.lineTo(middle, bottom);
      if (pointer.y < floor) { g.moveTo(left, pointer.y); g.lineTo(right, pointer.y); }
      g.stroke(); g.setLineDash([]);
      say(one, i, x, marks, seen);
    } else say(one, end - 1, x, [], []);
    g.restore();
    if (pointer && pointer.y < floor && pointer.y > top && pointer.x <= right) {
      const p = low + (floor - 6 - pointer.y) / (floor - 6 - top) * (high - low);
      g.fillStyle = colour("--card"); g.fillRect(right + 2, pointer.y - 9, width - right - 2, 18);
      g.fillStyle = ink; g.textAlign = "left"; g.fillText(grouped(p, one.decimals), right + 6, pointer.y);
    }
  }
  function sampled(values) { const out = []; for (let i = 0; i < values.length; i += Math.max(1, values.length >> 9)) out.push(values[i]); return out; }

  function say(one, i, x, marks, seen) {
    const p = v => grouped(v, one.decimals);
    let text = `${one.name} ${stamp(one.t[i])} UTC  open ${p(one.o[i])}  high ${p(one.h[i])}  low ${p(one.l[i])}  close ${p(one.c[i])}  volume ${one.v[i].toLocaleString("en-US")}`;
    if (pointer) {
      const close = list => list.map(s => [Math.min(Math.abs(x(s.t) - pointer.x), s.until ? Math.abs(x(s.until) - pointer.x) : 1e9), s]).filter(pair => pair[0] < 9).sort((a, b) => a[0] - b[0]);
      const mark = close(marks)[0], trade = close(seen)[0];
      if (mark) text += `. Signal ${WORDS[mark[1].side]} ${WORDS[mark[1].tier]} at ${p(mark[1].price)}, ${WORDS[mark[1].outcome]}`;
      if (trade) { const s = trade[1]; text += `. Trade ${WORDS[s.side]} entry ${p(s.entry)}, stop ${p(s.stop)}${s.target === null ? "" : `, target ${p(s.target)}`}${s.exit === null ? ", open" : `, exit ${p(s.exit)} (${s.leg}), ${signed(s.profit, 2)} ${data.currency}`}`; }
    }
    readout.textContent = text;
  }

  // Pointer, wheel, keys
  const held = new Map();
  let pinch = 0;
  const place = event => { const box = canvas.getBoundingClientRect(); return {x: event.clientX - box.left, y: event.clientY - box.top}; };
  const zoom = (factor, at) => { const t = from + Math.min(Math.max(at / canvas.clientWidth, 0), 1) * (to - from); const a = t - (t - from) * factor; view(a, a + (to - from) * factor); };
  canvas.onpointerdown = event => { canvas.setPointerCapture(event.pointerId); held.set(event.pointerId, place(event)); pinch = 0; };
  canvas.onpointerup = canvas.onpointercancel = event => { held.delete(event.pointerId); pinch = 0; };
  canvas.onpointerleave = event => { if (event.pointerType === "mouse") { pointer = null; draw(); } };
  canvas.onpointermove = event => {
    const now = place(event), before = held.get(event.pointerId);
    pointer = now;
    if (held.size === 1 && before) { const moved = (before.x - now.x) / canvas.clientWidth * (to - from); view(from + moved, to + moved); }
    if (before) held.set(event.pointerId, now);
    if (held.size === 2) { const [a, b] = [...held.values()], gap = Math.abs(a.x - b.x) + 1; if (pinch) zoom(pinch / gap, (a.x + b.x) / 2); pinch = gap; }
    draw();
  };
  canvas.addEventListener("wheel", event => { event.preventDefault(); zoom(event.deltaY > 0 ? 1.2 : 1 / 1.2, place(event).x); }, {passive: false});
  canvas.ondblclick = () => view(...whole);
  canvas.onkeydown = event => {
    const shift = (to - from) / 8, keys = {ArrowLeft: () => view(from - shift, to - shift), ArrowRight: () => view(from + shift, to + shift),
      "+": () => zoom(1 / 1.4, canvas.clientWidth / 2), "-": () => zoom(1.4, canvas.clientWidth / 2), Home: () => view(...whole)};
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
  };
  new ResizeObserver(draw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
}

// A table from {head: [[name, kind]], rows}: kind text, time, number (with decimals) or choice (a filter); it shows 50 rows at a time.
function dataTable(host) {
  const {head, rows, go} = read(host), page = 50;
  let order = -1, down = false, shown = page, query = "";
  const chosen = new Map(), bar = make("div", {className: "bar-of"}), count = make("span", {className: "soft"});
  head.forEach(([name, kind], i) => {
    if (kind !== "choice") return;
    const pick = make("select", {ariaLabel: name, onchange: () => { chosen.set(i, pick.value); shown = page; fill(); }});
    pick.append(make("option", {value: "", textContent: `${name}: all`}), ...[...new Set(rows.map(row => row[i]))].sort().map(value => make("option", {value, textContent: value})));
    bar.append(pick);
  });
  const search = make("input", {type: "search", placeholder: "find, such as 2024-03-05", ariaLabel: "find in the table", oninput: () => { query = search.value.toLowerCase(); shown = page; fill(); }});
  bar.append(search, count);
  const table = make("table", {className: "cards-below"}), body = make("tbody"), cells = make("tr"), isNumber = i => typeof head[i][1] === "number";
  head.forEach(([name], i) => {
    const cell = make("th", {className: isNumber(i) ? "n" : ""}, make("button", {type: "button", textContent: name, onclick: () => { down = order === i ? !down : isNumber(i); order = i; fill(); }}));
    cells.append(cell);
  });
  const more = make("button", {type: "button", textContent: "show more", onclick: () => { shown += 4 * page; fill(); }});
  table.append(make("thead", {}, cells), body);
  const shell = make("div", {className: "scroll rows"}, table);
  host.append(bar, shell, more);
  const text = (value, kind) => value === null ? "-" : typeof kind === "number" ? grouped(value, kind) : kind === "time" ? stamp(value) : value;
  function fill() {
    let found = rows.map((row, i) => [row, i]).filter(([row]) => [...chosen].every(([i, value]) => !value || row[i] === value));
    if (query) found = found.filter(([row]) => row.some((value, i) => text(value, head[i][1]).toLowerCase().includes(query)));
    if (order >= 0) found.sort(([a], [b]) => { const [p, q] = [a[order], b[order]]; if (p === null || q === null) return (p === null) - (q === null); return (p < q ? -1 : p > q ? 1 : 0) * (down ? -1 : 1); });
    [...cells.children].forEach((cell, i) => cell.setAttribute("aria-sort", i !== order ? "none" : down ? "descending" : "ascending"));
    body.replaceChildren(...found.slice(0, shown).map(([row, index]) => {
      const line = make("tr");
      row.forEach((value, i) => {
        const cell = make("td", {className: isNumber(i) ? "n" : "", textContent: text(value, head[i][1])});
        cell.dataset.of = head[i][0];
        if (head[i][2] === "sign" && value !== null && value !== 0) cell.classList.add(value > 0 ? "gain" : "loss");
        if (value === "BUY" || value === "SELL") cell.classList.add(value);
        line.append(cell);
      });
      if (go) { line.dataset.go = index; line.tabIndex = 0; line.title = "show on the chart"; }
      return line;
    }));
    count.textContent = `${found.length.toLocaleString("en-US")} of ${rows.length.toLocaleString("en-US")}`;
    more.hidden = found.length <= shown;
  }
  if (go) {
    const open = event => { const row = event.target.closest("tr[data-go]"), chart = document.querySelector(".price"); if (row && chart && chart.goTo) chart.goTo(+row.dataset.go); };
    body.onclick = open;
    body.onkeydown = event => { if (event.key === "Enter") open(event); };
  }
  fill();
}

const kits = {price: priceChart, table: dataTable};
document.querySelectorAll("[data-kit]").forEach(host => kits[host.dataset.kit](host));
})();
