// SPDX-License-Identifier: Apache-2.0
// Captions for a mixer's browser source (OBS, vMix): ?stream=NAME&lane=caption&... Nothing else is ever drawn: no state,
// no error, for it is on air. clients/README.md lists what may be asked for.
import { Phrases } from "./cues.js";
import { LumivoxClient } from "./lumivox.js";
import { Rows } from "./rows.js";
import { DEFAULTS, paint } from "./settings.js";

const query = new URLSearchParams(location.search);
const choice = (name, allowed, otherwise) => (allowed.includes(query.get(name)) ? query.get(name) : otherwise);
const number = (name, least, most, otherwise) => {
  const n = Number(query.get(name) ?? NaN);
  return Number.isFinite(n) ? Math.min(most, Math.max(least, n)) : otherwise;
};
const COLOURS = ["white", "yellow", "cyan", "green", "magenta", "red", "blue", "black"];

const language = query.get("lang") ?? undefined;
const lane = choice("lane", ["caption", "translation", "description"], language ? "translation" : "caption");
const blocks = choice("come", ["words", "phrases"], "words") === "phrases";
const said = document.querySelector(".said"), rows = new Rows(said.querySelector(".rows")), phrases = new Phrases();
let clear_ms = number("clear", 0, 60, 6) * 1000, timer = 0, tongue = null;

paint(document.documentElement, {
  ...DEFAULTS, theme: "dark", size: number("size", 30, 400, 100), opacity: String(number("opacity", 0, 100, 75)),
  colour: choice("colour", COLOURS, "auto"), back: choice("back", COLOURS, "auto"),
  face: choice("face", ["hyperlegible", "sans", "serif", "mono", "casual"], "hyperlegible"),
  edge: choice("edge", ["none", "shadow", "outline"], "none"), spacing: choice("spacing", ["normal", "wide"], "normal"),
  place: choice("place", ["bottom", "top"], "bottom"),
});
said.dataset.align = choice("align", ["left", "centre", "right"], "centre");
document.documentElement.style.setProperty("--width", `${number("width", 8, 80, 34)}em`);
rows.configure({ rows: number("rows", 1, 8, 2), clear_ms });

const show = (phrase) => phrase && rows.block(phrase.lines, tongue);
const later = (ms) => {
  clearTimeout(timer);
  timer = setTimeout(() => show(phrases.flush()), ms);
};

function onEvent(e) {
  if (e.type === "end") rows.phrase();
  if (e.type !== "text" || e.lane !== lane) return;
  tongue = e.language;
  for (const w of e.words) {
    if (blocks) {
      show(phrases.word(w));
      later(3000);
    } else rows.word(w.text, e.language);
  }
  if (!e.segment_end) return;
  rows.phrase();
  phrases.rest();
  if (blocks) later(500);
}

if (query.has("sample")) rows.block((query.get("sample") || "Good evening, and welcome.").split("\n"), "en");
else {
  const client = new LumivoxClient(new URL("./", location.href), { token: query.get("token") ?? "" });
  client.addEventListener("hello", ({ detail }) => {
    if (query.has("clear") || !detail.clear_after_us) return;
    clear_ms = Math.max(1000, (detail.clear_after_us - detail.delay_us) / 1000);
    rows.configure({ rows: number("rows", 1, 8, 2), clear_ms });
  });
  client.subscribe(query.get("stream") ?? "", { lanes: [lane], translateTo: language }, onEvent);
}
