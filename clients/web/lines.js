// SPDX-License-Identifier: Apache-2.0
import { clock } from "./cues.js";
import { joined } from "./lumivox.js";
import { direction } from "./rows.js";
import { Transcript, textOf } from "./transcript.js";

const SHOWN = 80, NEAR = 48;
const make = (tag, className, ...children) => {
  const e = document.createElement(tag);
  e.className = className;
  e.append(...children);
  return e;
};

/**
 * The lines of the chosen stream, each with how long it can still be corrected before it goes to outputs that are late
 * on purpose: until its first word leaves.
 */
export class Lines {
  #root; #list; #scroll; #correct; #why; #watch = null; #id = null; #info = null; #said = {}; #made = new Map(); #ahead_us = 0;
  #editing = null; #lane = "caption"; #follow = true;

  constructor(root, { correct, why }) {
    this.#root = root;
    this.#list = root.querySelector("#lines");
    this.#scroll = root.querySelector("#scroll");
    this.#correct = correct;
    this.#why = why;
    this.#scroll.addEventListener("scroll", () => { this.#follow = this.#scroll.scrollHeight - this.#scroll.scrollTop - this.#scroll.clientHeight < NEAR; });
    root.querySelector("#lane").onchange = ({ target }) => { this.#lane = target.value; this.#editing = null; this.#draw(); };
    setInterval(() => this.#count(), 250);
  }

  open(client, id) {
    this.#watch?.close();
    this.#id = id;
    this.#said = {};
    this.#made.clear();
    this.#editing = null;
    this.#follow = true;
    this.#root.querySelector("#lines-title").textContent = `Lines of ${id}`;
    this.#watch = client.subscribe(id, { from: { last: 1000 } }, (e) => this.#event(e));
    this.#draw();
  }

  /** What the daemon says of the stream, and what time it is there. */
  info(info, now_us) {
    this.#info = info;
    this.#ahead_us = now_us - Date.now() * 1000;
    const lanes = info?.lanes ?? [], select = this.#root.querySelector("#lane");
    if (select.dataset.lanes !== String(lanes)) {
      select.dataset.lanes = String(lanes);
      select.replaceChildren(...lanes.map((l) => new Option(l, l)));
      if (!lanes.includes(this.#lane)) { this.#lane = "caption"; this.#draw(); }
      select.value = this.#lane;
    }
    const hold_us = info?.hold_us ?? 0;
    const text = !info ? "" : hold_us ? `Outputs of this stream are up to ${hold_us / 1e6} s late: so long a line can be corrected.`
      : "No output of this stream is late on purpose. A correction reaches the pages that show it.";
    const hold = this.#root.querySelector("#hold");
    if (hold.textContent !== text) hold.textContent = text;
  }

  #event(e) {
    if (e.type === "subscribed") {
      for (const t of Object.values(this.#said)) if (t.begin(e.epoch)) this.#made.clear();
      this.#epoch = e.epoch;
    } else if (e.type === "text") {
      const t = (this.#said[e.lane] ??= this.#begun());
      const { fresh, line, ended } = t.add(e);
      if (!fresh) return;
      if (line && !this.#made.has(line)) this.#made.set(line, this.#madeAt(e));
      if (e.lane === this.#lane) for (const l of new Set([...ended, line])) if (l) this.#put(l);
    } else if (e.type === "correction") {
      for (const line of this.#said[e.lane]?.correct(e) ?? []) if (e.lane === this.#lane) this.#put(line);
    } else if (e.type === "end") {
      for (const t of Object.values(this.#said)) t.finish();
      this.#draw();
    }
  }

  #epoch = null;

  #begun() {
    const t = new Transcript();
    t.begin(this.#epoch);
    return t;
  }

  /** When the daemon made an event, by its clock; what is worked off faster than real time: now. */
  #madeAt(e) {
    const now = Date.now() * 1000 + this.#ahead_us, start = this.#info?.start_wall_us;
    return start && e.latency_ms !== null && e.words.length ? start + e.words[0].end_us + e.latency_ms * 1000 : now;
  }

  #draw() {
    this.#list.replaceChildren();
    for (const line of (this.#said[this.#lane]?.lines ?? []).slice(-SHOWN)) this.#put(line);
  }

  #put(line) {
    const old = this.#list.querySelector(`[data-id="${line.id}"]`);
    if (old && this.#editing === line) return;
    const li = old ?? make("li", "");
    li.dataset.id = line.id;
    li.line = line;
    const text = make("p", "text", textOf(line) || "(taken away)");
    text.lang = line.language ?? "";
    text.dir = direction(line.language);
    if (line.was !== null) text.append(make("span", "was", make("b", "", "Corrected. "), `Before: ${line.was}`));
    const edit = make("button", "small ghost edit");
    edit.type = "button";
    edit.innerHTML = '<svg><use href="icons.svg#edit"/></svg>';
    edit.setAttribute("aria-label", `Correct: ${textOf(line).slice(0, 60)}`);
    edit.disabled = !line.done;
    edit.onclick = () => this.#edit(li);
    li.replaceChildren(make("span", "at", clock(line.words[0]?.start_us ?? 0).slice(0, 8)), text, make("span", "left"), edit);
    if (!old) this.#list.append(li);
    while (this.#list.childElementCount > SHOWN && this.#list.firstChild.line !== this.#editing) this.#list.firstChild.remove();
    this.#left(li);
    if (this.#follow && !this.#editing) this.#scroll.scrollTop = this.#scroll.scrollHeight;
  }

  #count() {
    for (const li of this.#list.children) this.#left(li);
  }

  /** How long until the line leaves; -1: it has. */
  #left(li) {
    const hold_us = this.#info?.hold_us ?? 0, made = this.#made.get(li.line), e = li.querySelector(".left");
    if (!e) return;
    const left_us = hold_us && made ? made + hold_us - Date.now() * 1000 - this.#ahead_us : 0;
    const text = !hold_us ? "" : left_us > 0 ? `${Math.ceil(left_us / 1e6)} s` : "sent";
    li.classList.toggle("sent", text === "sent");
    if (e.textContent !== text) e.textContent = text;
  }

  #edit(li) {
    if (this.#editing) this.#close(this.#list.querySelector(".editing"));
    const line = li.line;
    this.#editing = line;
    li.classList.add("editing");
    const form = make("form", ""), field = make("textarea", "");
    field.value = joined(line.words);
    field.rows = 2;
    field.maxLength = 2048;
    field.lang = line.language ?? "";
    field.setAttribute("aria-label", "The line as it should be; empty takes it away");
    const save = make("button", "small main", "Save"), cancel = make("button", "small ghost", "Cancel"), wrong = make("p", "wrong");
    cancel.type = "button";
    wrong.setAttribute("role", "alert");
    cancel.onclick = () => this.#close(li);
    form.onsubmit = async (event) => {
      event.preventDefault();
      save.disabled = true;
      try {
        await this.#correct(this.#id, { epoch: line.epoch, from_seq: line.first, to_seq: line.last, text: field.value.trim() });
        this.#close(li);
      } catch (e) {
        wrong.textContent = this.#why(e);
        save.disabled = false;
      }
    };
    field.onkeydown = (e) => {
      if (e.key === "Escape") this.#close(li);
      else if (e.key === "Enter" && !e.shiftKey) form.requestSubmit();
      else return;
      e.preventDefault();
    };
    form.append(field, make("div", "", wrong, cancel, save));
    li.querySelector(".text").replaceWith(form);
    field.focus();
    field.select();
  }

  #close(li) {
    this.#editing = null;
    if (!li) return;
    li.classList.remove("editing");
    this.#put(li.line);
    li.querySelector(".edit").focus();
  }
}
