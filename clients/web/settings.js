// SPDX-License-Identifier: Apache-2.0
const KEY = "lumivox";
export const DEFAULTS = {
  size: 100, face: "hyperlegible", spacing: "normal", colour: "auto", back: "auto", opacity: "75", edge: "none", rows: "2",
  place: "bottom", come: "words", late: "match", voice: "", rate: 100, theme: "auto", announce: false, keys: true, token: "",
  captions: true, translation: "", description: "off", transcript: true, volume: 80,
};
const SESSION = new Set(["token"]); // not kept longer than the tab
const COLOURS = { white: "255 255 255", yellow: "255 238 51", cyan: "64 224 255", green: "80 230 110", magenta: "255 120 255", red: "255 60 50", blue: "20 50 190", black: "0 0 0" };
const DARK = new Set(["black", "blue"]);

/** What was saved, as far as it is of the right kind. */
export function sane(saved, keep = () => true) {
  const out = {};
  for (const k in DEFAULTS) if (keep(k) && typeof saved?.[k] === typeof DEFAULTS[k]) out[k] = saved[k];
  return out;
}

const read = (store, keep) => {
  try {
    return sane(JSON.parse(globalThis[store].getItem(KEY)), keep);
  } catch {
    return {}; // nothing saved, or saving is not allowed
  }
};

/** What the viewer chose: applied at once, kept in localStorage (the token for the session only). */
export class Settings {
  now = { ...DEFAULTS, ...read("localStorage", (k) => !SESSION.has(k)), ...read("sessionStorage", (k) => SESSION.has(k)) };
  #form; #apply;

  /** apply(now, name): name is what changed; absent: anything. */
  constructor(dialog, apply) {
    this.#form = dialog.querySelector("form");
    this.#apply = apply;
    this.#form.addEventListener("input", ({ target: { name, type, checked, value } }) => {
      if (name in DEFAULTS && name !== "token") this.set(name, type === "checkbox" ? checked : type === "range" ? Number(value) : value);
    });
    this.#form.elements.token.addEventListener("change", (e) => this.set("token", e.target.value.trim()));
    for (const field of this.#form.querySelectorAll("select"))
      if (field.name !== "voice" && ![...field.options].some((o) => o.value === this.now[field.name])) this.now[field.name] = DEFAULTS[field.name];
    this.#fill();
    queueMicrotask(() => this.#apply(this.now));
  }

  set(name, value) {
    this.now[name] = value;
    this.#save();
    this.#fill();
    this.#apply(this.now, name);
  }

  reset() {
    this.now = { ...DEFAULTS, token: this.now.token };
    this.#save();
    this.#fill();
    this.#apply(this.now);
  }

  #save() {
    const part = (session) => JSON.stringify(Object.fromEntries(Object.entries(this.now).filter(([k]) => SESSION.has(k) === session)));
    try {
      localStorage.setItem(KEY, part(false));
      sessionStorage.setItem(KEY, part(true));
    } catch { /* private windows: settings last as long as the page */ }
  }

  #fill() {
    for (const field of this.#form.elements) {
      if (!(field.name in DEFAULTS)) continue;
      if (field.type === "checkbox") field.checked = this.now[field.name];
      else if (field !== document.activeElement || field.type !== "password") field.value = this.now[field.name];
    }
  }
}

/** How captions look: on the root element, for the style sheet. */
export function paint(root, s) {
  Object.assign(root.dataset, { theme: s.theme, face: s.face, spacing: s.spacing, edge: s.edge, place: s.place });
  root.style.setProperty("--cap-scale", s.size / 100);
  root.style.setProperty("--cap-alpha", s.opacity / 100);
  // What is left to the page stands out against what was chosen.
  const against = (name) => (DARK.has(name) ? "white" : "black");
  const set = (name, value) => (value ? root.style.setProperty(name, value) : root.style.removeProperty(name));
  const ink = s.colour === "auto" ? null : s.colour;
  const back = s.back === "auto" ? ink && against(ink) : s.back;
  set("--own-ink", back && `rgb(${COLOURS[ink ?? against(back)]})`);
  set("--own-back", back && `rgb(${COLOURS[back]} / ${s.opacity / 100})`);
}
