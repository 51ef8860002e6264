"use strict";
// Two things that a page without script lacks: what a term means beside it, on hovering and on focus, and the rows of the map.
// Texts are set as text, never as markup.
(() => {
  const make = (tag, text, parent) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (parent) parent.append(element);
    return element;
  };

  // -- terms -------------------------------------------------------------------------------------------------------
  const tip = make("div", "", document.body);
  tip.id = "tip";
  tip.hidden = true;
  const showTip = (element) => {
    tip.textContent = element.dataset.meaning;
    tip.hidden = false;
    const at = element.getBoundingClientRect();
    const left = Math.max(8, Math.min(at.left, document.documentElement.clientWidth - tip.offsetWidth - 8));
    const below = at.bottom + tip.offsetHeight + 8 < window.innerHeight;
    tip.style.left = `${left}px`;
    tip.style.top = `${below ? at.bottom + 4 : Math.max(4, at.top - tip.offsetHeight - 4)}px`;
  };
  const hideTip = () => { tip.hidden = true; };
  for (const element of document.querySelectorAll("a.term")) {
    element.dataset.meaning = element.title;
    element.removeAttribute("title");
    element.setAttribute("aria-describedby", `${element.hash.slice(1)}-meaning`);
    element.addEventListener("pointerenter", () => showTip(element));
    element.addEventListener("pointerleave", hideTip);
    element.addEventListener("focus", () => showTip(element));
    element.addEventListener("blur", hideTip);
  }
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hideTip(); });
  document.addEventListener("scroll", () => {  // focus scrolls too
    if (!tip.hidden) document.activeElement.matches("a.term") ? showTip(document.activeElement) : hideTip();
  }, true);

  // -- map ---------------------------------------------------------------------------------------------------------
  const stored = document.getElementById("map-data");
  if (!stored) return;
  const data = JSON.parse(stored.textContent);
  const part = (name) => document.getElementById(`map-${name}`);
  const picture = part("picture"), plane = part("plane"), card = part("card"), told = part("told"), list = part("list"), words = part("words");
  const SVG = "http://www.w3.org/2000/svg", NEAR = 24, LISTED = 100;
  const rows = [];  // real ones first
  for (const kind of ["real", "synthetic"]) {
    const side = data[kind];
    side.text.forEach((text, i) => rows.push({
      kind, i, text, x: side.x[i], y: side.y[i], id: side.id[i], label: data.labels[side.label[i]], drawn: side.drawn[i],
      weight: kind === "real" ? null : side.weight[i], capped: kind === "real" ? null : side.capped[i], set: kind === "real" ? -1 : side.set[i],
    }));
  }
  const nReal = data.real.text.length;
  const CAPPED = {
    far_from_real: "it lies far from all real rows", near_copy: "it is nearly a copy of a real row",
    unknown_words: "its words are hardly known from real rows", density_ratio: "its words or its place are unlike those of real rows",
    disputed_label: "classifiers of the real rows dispute its label",
  };
  const SHOWN = { real: ["real"], synthetic: ["synthetic", "weighted"] };  // of a kind of rows, the boxes that show it
  const ticked = (name) => { const box = document.getElementById(`show-${name}`); return !box || box.checked; };
  const isShown = (row) => SHOWN[row.kind].some(ticked) && ticked(`label-${row.drawn}`);
  const weighed = (row) => row.kind === "real" ? "real row" : `synthetic row, ${row.weight} × uniform`;
  const line = (row) => `${weighed(row)}${row.label === null ? "" : `, ${row.label}`}: ${row.text}`;

  const marks = document.createElementNS(SVG, "g");
  marks.setAttribute("class", "marks");
  picture.append(marks);
  const mark = (row, to) => {
    const shape = document.createElementNS(SVG, to ? "line" : "circle");
    const values = to ? { x1: row.x, y1: row.y, x2: to.x, y2: to.y } : { cx: row.x, cy: row.y, r: 13 };
    for (const [name, value] of Object.entries(values)) shape.setAttribute(name, value);
    marks.append(shape);
  };

  let current = null, opened = null;
  const demonstrations = (row) => row.set < 0 ? [] : data.sets[row.set].shown;
  const draw = () => {
    marks.replaceChildren();
    if (opened) for (const one of demonstrations(opened)) {
      const at = data.demonstrations.real[one];
      if (at >= 0) { mark(opened, rows[at]); mark(rows[at]); }
    }
    for (const row of new Set([opened, current])) if (row) mark(row);
  };
  const look = (row, aloud) => {  // what a pointer or the keys are on
    if (row === current) return;
    current = row;
    told.hidden = !row;
    if (row) {
      told.textContent = line(row);
      told.setAttribute("aria-live", aloud ? "polite" : "off");
      const box = picture.getBoundingClientRect(), frame = plane.getBoundingClientRect(), scale = box.width / picture.viewBox.baseVal.width;
      const x = box.left - frame.left + row.x * scale, y = box.top - frame.top + row.y * scale;
      told.style.left = `${Math.max(0, Math.min(x + 12, frame.width - told.offsetWidth))}px`;
      told.style.top = `${y + 16 + told.offsetHeight < frame.height ? y + 16 : Math.max(0, y - 16 - told.offsetHeight)}px`;
    }
    draw();
  };
  const open = (row) => {  // the row with all that stands behind it
    opened = row;
    card.replaceChildren();
    make("p", `“${row.text}”`, card).className = "quote";
    make("p", `${weighed(row)}${row.label === null ? "" : ` · label ${row.label}`} · row ${row.id}`, card).className = "dim";
    if (row.capped) make("p", `It may not weigh more than it did before the alignment: ${CAPPED[row.capped] || row.capped}.`, card);
    if (row.set >= 0) {
      const attributes = data.sets[row.set].attributes;
      if (attributes.length) {
        const chips = make("p", undefined, card);
        for (const [name, value] of attributes) {
          const chip = make("span", undefined, chips);
          chip.className = "chip";
          make("b", name, chip);
          chip.append(` ${value}`);
          chips.append(" ");
        }
      }
      make("p", "Real rows that the language model was shown for it:", card);
      const shown = make("ul", undefined, card);
      shown.className = "plain";
      for (const one of demonstrations(row)) {
        const at = data.demonstrations.real[one];
        const item = make("li", `“${at < 0 ? data.demonstrations.text[one] : rows[at].text}” `, shown);
        make("span", `real row ${data.demonstrations.id[one]}${at < 0 ? "" : ", on the map"}`, item).className = "dim";
      }
    } else if (row.kind === "synthetic") make("p", "No demonstration is recorded for this row.", card).className = "dim";
    draw();
  };

  const nearest = (x, y, within, fits) => {
    let best = null, least = within * within;
    for (const row of rows) {
      const far = (row.x - x) ** 2 + (row.y - y) ** 2;
      if (far <= least && isShown(row) && (!fits || fits(row, far))) { best = row; least = far; }
    }
    return best;
  };
  const under = (event) => {
    const box = picture.getBoundingClientRect(), scale = picture.viewBox.baseVal.width / box.width;
    return nearest((event.clientX - box.left) * scale, (event.clientY - box.top) * scale, NEAR * Math.max(1, scale));
  };
  plane.addEventListener("pointermove", (event) => look(under(event), false));
  plane.addEventListener("pointerleave", () => look(null, false));
  plane.addEventListener("click", (event) => { const row = under(event); if (row) open(row); });

  const heaviest = () => rows.slice(nReal).filter(isShown).sort((a, b) => b.weight - a.weight)[0] || rows.find(isShown) || null;
  const AHEAD = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  plane.addEventListener("keydown", (event) => {
    const from = current || opened;
    if (event.key in AHEAD) {
      const [dx, dy] = AHEAD[event.key];
      const ahead = (row, far) => row !== from && far > 0 && (row.x - from.x) * dx + (row.y - from.y) * dy >= Math.sqrt(far / 2);
      look((from && nearest(from.x, from.y, 4000, ahead)) || from || heaviest(), true);
    } else if (event.key === "Home") look(heaviest(), true);
    else if ((event.key === "Enter" || event.key === " ") && current) open(current);
    else if (event.key === "Escape") look(null, true);
    else return;
    event.preventDefault();
  });
  plane.addEventListener("focus", () => { if (plane.matches(":focus-visible")) look(opened || heaviest(), true); });
  plane.addEventListener("blur", () => look(null, false));

  const fill = () => {  // rows that have the words, the heaviest first, then real ones
    const wanted = words.value.toLowerCase();
    const fit = rows.filter((row) => isShown(row) && row.text.toLowerCase().includes(wanted)).sort((a, b) => (b.weight ?? -1) - (a.weight ?? -1));
    list.replaceChildren();
    for (const row of fit.slice(0, LISTED)) make("option", line(row), list).value = rows.indexOf(row);
    part("found").textContent = `${fit.length} rows${fit.length > LISTED ? `, the first ${LISTED} of them here` : ""}`;
  };
  words.addEventListener("input", fill);
  list.addEventListener("change", () => { const row = rows[Number(list.value)]; if (row) { open(row); } });
  for (const box of document.querySelectorAll("#map-boxes input")) box.addEventListener("change", () => { look(null, false); fill(); });

  for (const element of document.querySelectorAll(".scripted")) element.hidden = false;
  plane.tabIndex = 0;
  plane.setAttribute("role", "application");
  plane.setAttribute("aria-label", "Map of the rows");
  plane.setAttribute("aria-describedby", "map-keys");
  fill();
})();
