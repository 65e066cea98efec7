// SPDX-License-Identifier: Apache-2.0
const KEY = "lumivox";
const DEFAULTS = {
  size: 100, scheme: "dark", font: "sans", spacing: "normal", caption: true, translation: true, description: true,
  programme: false, live: false, speak: false, token: "",
};

/** The settings dialog: applies each change at once and keeps it in localStorage (the token for the session only). */
export class Settings {
  now = { ...DEFAULTS };
  #form; #apply;

  constructor(dialog, apply) {
    this.#form = dialog.querySelector("form");
    this.#apply = apply;
    for (const [store, keep] of [[globalThis.localStorage, (k) => k !== "token"], [globalThis.sessionStorage, (k) => k === "token"]]) {
      try {
        const saved = JSON.parse(store.getItem(KEY)) ?? {};
        for (const k in DEFAULTS) if (keep(k) && typeof saved[k] === typeof DEFAULTS[k]) this.now[k] = saved[k];
      } catch { /* nothing saved, or saving is not allowed */ }
    }
    if (!localStorageHas() && matchMedia("(prefers-color-scheme: light)").matches) this.now.scheme = "light";
    this.#form.addEventListener("input", (e) => {
      const { name, type, checked, value } = e.target;
      if (name === "token") return;
      if (name in DEFAULTS) this.set(name, type === "checkbox" ? checked : type === "range" ? Number(value) : value);
    });
    this.#form.elements.token.addEventListener("change", (e) => this.set("token", e.target.value.trim()));
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
    const { token, ...rest } = this.now;
    try {
      localStorage.setItem(KEY, JSON.stringify(rest));
      sessionStorage.setItem(KEY, JSON.stringify({ token }));
    } catch { /* private windows: settings last as long as the page */ }
  }

  #fill() {
    for (const k in DEFAULTS) {
      const field = this.#form.elements[k];
      if (field.type === "checkbox") field.checked = this.now[k];
      else if (field !== document.activeElement) field.value = this.now[k];
    }
  }
}

function localStorageHas() {
  try {
    return localStorage.getItem(KEY) !== null;
  } catch {
    return false;
  }
}
