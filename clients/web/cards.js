// SPDX-License-Identifier: Apache-2.0
const STATES = { starting: "Starting", live: "Live", stalled: "No signal", reconnecting: "Signal lost, trying again", ended: "Ended", failed: "Failed", deleted: "Stopped", vanished: "Sender lost", device: "The compute device failed" };
const OVER = new Set(["ended", "failed", "deleted", "vanished", "device"]);
const LOWEST_DB = -60;

const make = (tag, className, ...children) => {
  const e = document.createElement(tag);
  e.className = className;
  e.append(...children);
  return e;
};
const set = (e, text) => { if (e.textContent !== text) e.textContent = text; };
const short = (us) => (us < 60e6 ? `${Math.floor(us / 1e6)} s` : `${Math.floor(us / 60e6)} min ${Math.floor(us / 1e6) % 60} s`);
const share = (db) => Math.min(1, Math.max(0, ((db ?? LOWEST_DB) - LOWEST_DB) / -LOWEST_DB));

/** One card a stream, changed in place: buttons keep their focus, and what does not change is not touched. */
export class Cards {
  #list; #do; #cards = new Map();

  /** actions: choose(id), stop(stream), start(stream), lanes(stream, wanted). */
  constructor(list, actions) {
    this.#list = list;
    this.#do = actions;
  }

  draw(streams, { chosen, model, dead }) {
    const ids = new Set(streams.map((s) => s.id));
    for (const [id, card] of this.#cards) if (!ids.has(id)) { card.li.remove(); this.#cards.delete(id); }
    for (const s of streams) {
      if (!this.#cards.has(s.id)) this.#add(s, model);
      this.#show(this.#cards.get(s.id), s, s.id === chosen, dead(s));
    }
  }

  #add(s, model) {
    const c = { now: s };
    c.name = make("button", "name", s.id);
    c.state = make("span", "state");
    c.message = make("p", "message soft");
    c.uri = make("p", "uri soft");
    c.alarm = make("p", "dead");
    c.level = make("div", "level", make("i", "rms"), make("i", "peak"));
    c.level.setAttribute("role", "meter");
    c.level.setAttribute("aria-label", `Level of ${s.id}`);
    for (const [k, v] of [["min", LOWEST_DB], ["max", 0]]) c.level.setAttribute(`aria-value${k}`, v);
    c.db = make("span", "db");
    c.facts = make("dl", "facts");
    c.values = Object.fromEntries(["Behind", "Viewers", "Words", "Gaps", "Reconnects"].map((k) => {
      const dd = make("dd", "");
      c.facts.append(make("div", "", make("dt", "", k), dd));
      return [k, dd];
    }));
    c.lanes = model.map(({ name }) => {
      const b = make("button", "lane small", name);
      b.onclick = () => {
        const on = c.now.lanes.includes(name);
        this.#do.lanes(c.now, on ? c.now.lanes.filter((l) => l !== name) : model.map((l) => l.name).filter((l) => l === name || c.now.lanes.includes(l)));
      };
      return b;
    });
    c.stop = make("button", "small danger", "Stop");
    c.start = make("button", "small", "Start again");
    c.name.onclick = () => this.#do.choose(s.id);
    c.stop.onclick = () => this.#do.stop(c.now);
    c.start.onclick = () => this.#do.start(c.now);
    for (const b of [c.stop, c.start]) b.setAttribute("aria-label", `${b.textContent}: ${s.id}`);
    for (const b of [c.name, c.stop, c.start, ...c.lanes]) b.type = "button";
    const lanes = make("div", "lanes", ...c.lanes);
    lanes.setAttribute("role", "group");
    lanes.setAttribute("aria-label", `Lanes of ${s.id}`);
    c.li = make("li", "card", make("div", "top", make("h3", "", c.name), c.state), c.message, c.uri,
      make("div", "meter", c.level, c.db), c.alarm, c.facts, make("div", "bottom", lanes, c.stop, c.start));
    this.#list.append(c.li);
    this.#cards.set(s.id, c);
  }

  #show(c, s, chosen, dead) {
    c.now = s;
    const over = OVER.has(s.state);
    c.name.setAttribute("aria-pressed", String(chosen));
    c.li.classList.toggle("chosen", chosen);
    c.li.classList.toggle("over", over);
    c.li.classList.toggle("alarmed", dead);
    c.state.dataset.state = s.state;
    set(c.state, STATES[s.state] ?? s.state);
    set(c.message, s.message ?? "");
    set(c.uri, s.kind === "push" ? "pushed by a client" : s.uri);
    c.message.hidden = !s.message;
    c.alarm.hidden = !dead;
    if (dead) set(c.alarm, `No sound for ${short(s.silent_us)}`);
    const known = !over && s.level_db !== null;
    c.level.style.setProperty("--rms", known ? share(s.level_db) : 0);
    c.level.style.setProperty("--peak", known ? share(s.peak_db) : 0);
    c.level.setAttribute("aria-valuenow", Math.max(LOWEST_DB, Math.round(known ? s.level_db : LOWEST_DB)));
    c.level.setAttribute("aria-valuetext", known ? `${Math.round(s.level_db)} decibels` : "not known");
    set(c.db, known ? `${Math.max(-99, Math.round(s.level_db))} dB` : "");
    set(c.values.Behind, s.latency_ms === null || over ? "–" : `${(s.latency_ms / 1000).toFixed(1)} s`);
    set(c.values.Viewers, String(s.subscribers));
    set(c.values.Words, s.words.toLocaleString("en"));
    set(c.values.Gaps, String(s.gaps + s.overruns));
    set(c.values.Reconnects, String(s.reconnects));
    for (const b of c.lanes) {
      b.setAttribute("aria-pressed", String(s.lanes.includes(b.textContent)));
      // Captions stay; a translation needs the language that the stream was made with.
      b.disabled = over || (s.lanes.length === 1 && s.lanes[0] === b.textContent) || (b.textContent === "translation" && !s.translate_to);
    }
    c.stop.hidden = over;
    c.start.hidden = !over || s.kind !== "source";
  }
}
