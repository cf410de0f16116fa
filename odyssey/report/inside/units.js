"use strict";
(() => {
  const facts = JSON.parse(document.getElementById("facts").textContent);
  const symbols = facts.symbols;
  const length = symbols.length;
  const $ = (id) => document.getElementById(id);
  const view = $("view"), rows = $("rows"), spacer = $("spacer");
  const ROW = 20, INK = "#222";

  const bytesOf = (id) => {
    const text = atob($(id).textContent);
    const bytes = new Uint8Array(text.length);
    for (let k = 0; k < bytes.length; k++) bytes[k] = text.charCodeAt(k);
    return bytes;
  };

  // Red below, white at, and blue above the middle of the scale, as in Karpathy et al.
  const colors = Array.from({ length: 256 }, (_, byte) => {
    const x = (byte - 127.5) / 127.5, far = Math.round(255 * (1 - Math.abs(x)));
    return x < 0 ? `rgb(255,${far},${far})` : `rgb(${far},${far},255)`;
  });
  const inks = colors.map((_, byte) => (byte > 225 ? "#fff" : INK));

  // ---- what is shown
  const state = { track: 0, unit: 0, probe: -1, at: -1 };
  let values = new Uint8Array(length), probe = null;

  const track = () => facts.tracks[state.track];
  const valueOf = (byte) => track().low + ((track().high - track().low) * byte) / 255;

  // ---- lines: the text broken at its line ends, and where a line is wider than the view
  let starts = [], columns = 0;
  const wrap = () => {
    const width = Math.max(20, Math.floor((view.clientWidth - 150) / charWidth));
    if (width === columns) return;
    columns = width;
    starts = [0];
    let drawn = 0;
    for (let k = 0; k < length; k++) {
      if (symbols[k] === "") continue; // a further byte of the character before it
      if (symbols[k] === "\n") { drawn = 0; if (k + 1 < length) starts.push(k + 1); }
      else if (drawn >= width) { drawn = 1; starts.push(k); }
      else drawn++;
    }
    spacer.style.height = `${starts.length * ROW}px`;
  };
  const lineOf = (at) => {
    let low = 0, high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (starts[middle] <= at) low = middle; else high = middle - 1;
    }
    return low;
  };
  const glyph = (symbol) => {
    if (symbol === "\n") return "\u23ce";
    if (symbol === "\t") return "\u2192";
    const code = symbol.codePointAt(0);
    if (code >= 0xf780 && code <= 0xf7ff) return "\ufffd"; // a byte that is no character
    return code < 32 || (code >= 127 && code < 160) ? "\u00b7" : symbol;
  };

  const bytesAt = (k) => {
    let count = 1;
    while (k + count < length && symbols[k + count] === "") count++;
    return count;
  };
  // A character of several bytes is coloured over all of them.
  const background = (k) => {
    const count = bytesAt(k);
    if (count === 1) return colors[values[k]];
    const stops = Array.from({ length: count }, (_, n) =>
      `${colors[values[k + n]]} ${(100 * n) / count}% ${(100 * (n + 1)) / count}%`);
    return `linear-gradient(to right, ${stops.join(", ")})`;
  };

  // Only the lines in sight are in the document.
  const draw = () => {
    const first = Math.max(0, Math.floor(view.scrollTop / ROW) - 5);
    const last = Math.min(starts.length, first + Math.ceil(view.clientHeight / ROW) + 10);
    const parts = document.createDocumentFragment();
    for (let line = first; line < last; line++) {
      const row = document.createElement("div");
      row.className = "row";
      const number = document.createElement("span");
      number.className = "at";
      number.textContent = starts[line];
      row.append(number);
      const end = line + 1 < starts.length ? starts[line + 1] : length;
      for (let k = starts[line]; k < end; k++) {
        if (symbols[k] === "") continue;
        const cell = document.createElement("i");
        cell.textContent = glyph(symbols[k]);
        cell.style.background = background(k);
        cell.style.color = inks[values[k]];
        cell.dataset.at = k;
        if (probe && probe[k + bytesAt(k) - 1] > 127) cell.classList.add("on");
        if (k <= state.at && state.at < k + bytesAt(k)) cell.classList.add("mark");
        row.append(cell);
      }
      parts.append(row);
    }
    rows.style.top = `${first * ROW}px`;
    rows.replaceChildren(parts);
  };

  const say = (at) => {
    if (at < 0 || at >= length) { $("readout").textContent = ""; return; }
    const shown = JSON.stringify(symbols[at]), count = bytesAt(at);
    const read = Array.from({ length: count }, (_, n) => valueOf(values[at + n]).toFixed(2));
    let text = `symbol ${at} ${shown}: ${read.join(", ")}`;
    if (probe) {
      const p = facts.probes[state.probe];
      text += `, ${p.name} ${(p.low + ((p.high - p.low) * probe[at + count - 1]) / 255).toFixed(p.binary ? 0 : 1)}`;
    }
    $("readout").textContent = text;
  };

  // ---- choosing
  const fill = (select, options, chosen) => {
    select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
    select.value = chosen;
  };
  const layers = [...new Set(facts.tracks.map((t) => t.layer))];
  const namesOf = (layer) =>
    facts.tracks.map((t, k) => [k, `${t.name} (${t.kind})`]).filter(([k]) => facts.tracks[k].layer === layer);

  const load = () => {
    values = bytesOf(`t${state.track}u${state.unit}`);
    const t = track();
    $("scale").textContent = `${t.low} to ${t.high}${t.squashed ? ", tanh of the value" : ""}`;
    $("threshold").min = t.low;
    $("threshold").max = t.high;
    document.title = `${facts.title}: ${t.name}[${state.unit}] of layer ${t.layer}`;
    history.replaceState(null, "", `#${state.track}.${state.unit}${state.probe < 0 ? "" : "." + state.probe}`);
    draw();
    say(state.at);
  };
  const chooseTrack = (number) => {
    const changed = number !== state.track;
    state.track = number;
    $("layer").value = track().layer;
    fill($("track"), namesOf(track().layer), number);
    $("unit").max = track().units - 1;
    if (changed) $("threshold").value = (0.25 * track().low + 0.75 * track().high).toFixed(2);
    chooseUnit(Math.min(state.unit, track().units - 1));
  };
  const chooseUnit = (number) => {
    if (!Number.isInteger(number)) return;
    state.unit = Math.max(0, Math.min(track().units - 1, number));
    $("unit").value = state.unit;
    load();
  };
  const chooseProbe = (number) => {
    state.probe = number;
    probe = number < 0 ? null : bytesOf(`p${number}`);
    $("probe").value = number;
    const best = number < 0 ? [] : facts.probes[number].best;
    fill($("best"), [["", best.length ? "its best units" : "-"], ...best.map((b, k) =>
      [k, `${facts.tracks[b.track].name}[${b.unit}] of layer ${facts.tracks[b.track].layer}, rho ${b.rho.toFixed(2)}`])], "");
    $("best").disabled = !best.length;
    load();
  };

  // ---- activations: steps at which the value passes the threshold upwards
  const find = (direction) => {
    const t = track();
    const byte = (255 * (Number($("threshold").value) - t.low)) / (t.high - t.low);
    const rises = (k) => values[k] >= byte && (k === 0 || values[k - 1] < byte);
    let k = state.at;
    for (let tried = 0; tried < length; tried++) {
      k = (k + direction + length) % length;
      if (k < 0) k += length;
      if (rises(k)) { goTo(k); return; }
    }
    $("readout").textContent = "never reaches the threshold";
  };
  const goTo = (at) => {
    state.at = at;
    const top = lineOf(at) * ROW;
    if (top < view.scrollTop || top > view.scrollTop + view.clientHeight - 2 * ROW) {
      view.scrollTop = Math.max(0, top - view.clientHeight / 3);
    }
    draw();
    say(at);
  };

  // ---- wiring
  const ruler = document.createElement("i");
  ruler.textContent = "x".repeat(100);
  const trial = document.createElement("div");
  trial.className = "row";
  trial.append(ruler);
  rows.append(trial);
  const charWidth = ruler.getBoundingClientRect().width / 100 || 8;

  fill($("layer"), layers.map((l) => [l, l]), layers[0]);
  fill($("probe"), [[-1, "none"], ...facts.probes.map((p, k) => [k, p.name])], -1);
  $("layer").onchange = () => chooseTrack(namesOf(Number($("layer").value))[0][0]);
  $("track").onchange = () => chooseTrack(Number($("track").value));
  $("unit").onchange = () => chooseUnit(Number($("unit").value));
  $("less").onclick = () => chooseUnit(state.unit - 1);
  $("more").onclick = () => chooseUnit(state.unit + 1);
  $("probe").onchange = () => chooseProbe(Number($("probe").value));
  $("best").onchange = () => {
    if ($("best").value === "") return;
    const b = facts.probes[state.probe].best[Number($("best").value)];
    state.unit = b.unit;
    chooseTrack(b.track);
  };
  $("next").onclick = () => find(1);
  $("previous").onclick = () => find(-1);
  view.onscroll = draw;
  rows.onmousemove = (event) => { if (event.target.dataset.at) say(Number(event.target.dataset.at)); };
  rows.onclick = (event) => { if (event.target.dataset.at) goTo(Number(event.target.dataset.at)); };
  window.onresize = () => { wrap(); draw(); };
  document.onkeydown = (event) => {
    if (["INPUT", "SELECT"].includes(event.target.tagName)) return;
    const does = { ArrowLeft: () => chooseUnit(state.unit - 1), ArrowRight: () => chooseUnit(state.unit + 1), n: () => find(1), p: () => find(-1) }[event.key];
    if (does) { event.preventDefault(); does(); }
  };
  $("legend").style.background = `linear-gradient(to right, ${colors[0]}, #fff, ${colors[255]})`;

  const asked = location.hash.slice(1).split(".").map(Number);
  const valid = facts.tracks[asked[0]] !== undefined;
  $("threshold").value = (0.25 * facts.tracks[0].low + 0.75 * facts.tracks[0].high).toFixed(2);
  wrap();
  state.unit = valid && asked[1] >= 0 ? asked[1] : 0;
  chooseTrack(valid ? asked[0] : 0);
  if (facts.probes[asked[2]] !== undefined) chooseProbe(asked[2]); else chooseProbe(-1);
  window.unitsReady = performance.now();
})();
