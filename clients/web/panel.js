// SPDX-License-Identifier: Apache-2.0
import { clock, toSrt, toTxt, toVtt } from "./cues.js";
import { joined } from "./lumivox.js";
import { direction } from "./rows.js";
import { textOf } from "./transcript.js";

const SHOWN = 300, NEAR = 48; // lines at once; pixels from the end that still count as there
const FORMATS = {
  txt: { type: "text/plain", make: (t) => toTxt(t.lines.filter((l) => l.words.length)) },
  srt: { type: "application/x-subrip", make: (t) => toSrt(t.run()) },
  vtt: { type: "text/vtt", make: (t) => toVtt(t.run()) },
  words: { type: "text/vtt", ending: "vtt", make: (t) => toVtt(t.run(), { words: true }) },
};
const make = (tag, props, ...children) => {
  const e = Object.assign(document.createElement(tag), props);
  e.append(...children);
  return e;
};

/** The transcript of one lane: its lines, search, files to keep. */
export class Panel {
  #root; #lines; #scroll; #follow = true; #transcript = null; #name = ""; #seek; #shown = SHOWN; #query = ""; #words = false;

  /** seek(us): goes there in the programme; seek.able(): whether it can. file(): the name to save by. */
  constructor(root, { seek, file }) {
    const $ = (id) => root.querySelector(id);
    this.#root = root;
    this.#lines = $("#lines");
    this.#scroll = $(".scroll");
    this.#seek = seek;
    this.#scroll.addEventListener("scroll", () => this.#following(this.#scroll.scrollHeight - this.#scroll.scrollTop - this.#scroll.clientHeight < NEAR));
    $("#follow").onclick = () => { this.#following(true); this.#toEnd(); };
    $("#earlier").onclick = () => {
      const below = this.#scroll.scrollHeight - this.#scroll.scrollTop;
      this.#shown += SHOWN;
      this.draw();
      this.#scroll.scrollTop = this.#scroll.scrollHeight - below;
    };
    const search = $("#search");
    search.oninput = () => { this.#query = search.value; this.draw(); };
    search.onkeydown = (e) => { if (e.key === "Escape" && search.value) { e.stopPropagation(); this.#forget(); } };
    $("#word-times").onclick = (e) => {
      this.#words = !this.#words;
      e.currentTarget.setAttribute("aria-pressed", String(this.#words));
      this.draw();
    };
    const menu = $("#download");
    menu.onclick = ({ target }) => {
      const format = target.closest("[data-format]")?.dataset.format;
      if (!format) return;
      menu.open = false;
      menu.querySelector("summary").focus();
      const { type, ending, make: text } = FORMATS[format];
      save(`${file(this.#name)}.${ending ?? format}`, text(this.#transcript), type);
    };
    menu.onkeydown = (e) => { if (e.key === "Escape" && menu.open) { e.stopPropagation(); menu.open = false; menu.querySelector("summary").focus(); } };
    menu.addEventListener("focusout", (e) => { if (e.relatedTarget && !menu.contains(e.relatedTarget)) menu.open = false; });
    document.addEventListener("pointerdown", (e) => { if (!menu.contains(e.target)) menu.open = false; });
    this.#lines.addEventListener("click", (e) => {
      const at = e.target.closest("button.at");
      if (at) this.#go(at.closest("li"));
    });
  }

  show(transcript, name) {
    this.#transcript = transcript;
    this.#name = name;
    this.#shown = SHOWN;
    this.#follow = true;
    this.draw();
  }

  draw() {
    if (!this.#transcript) return;
    const search = this.#query.trim() !== "";
    const all = search ? this.#transcript.search(this.#query) : this.#transcript.lines.map((line) => ({ line }));
    this.#lines.replaceChildren(...all.slice(-this.#shown).map(({ line, at }) => this.#line(line, at)));
    this.#root.querySelector("#earlier").hidden = all.length <= this.#shown;
    this.#root.querySelector("#no-lines").hidden = all.length > 0 || search;
    this.#root.querySelector("#found").textContent = !search ? "" : all.length === 1 ? "1 line" : all.length ? `${all.length} lines` : "not found";
    this.#following(this.#follow);
    if (this.#follow) this.#toEnd();
  }

  /** The transcript has grown: this line is new, or has more. */
  grown(line) {
    if (this.#query.trim()) return;
    this.#root.querySelector("#no-lines").hidden = true;
    const last = this.#lines.lastElementChild;
    if (last?.dataset.id === String(line.id)) this.#fill(last.querySelector("p"), line);
    else this.#lines.append(this.#line(line));
    if (this.#lines.childElementCount > this.#shown && this.#follow) {
      this.#lines.firstChild.remove();
      this.#root.querySelector("#earlier").hidden = false;
    }
    if (this.#follow) this.#toEnd();
  }

  changed(lines) {
    for (const line of lines) this.#lines.querySelector(`[data-id="${line.id}"]`)?.replaceWith(this.#line(line));
  }

  focus() {
    this.#root.querySelector("#search").focus();
  }

  #line(line, at) {
    const li = make("li", { className: line.note ? "note" : "" });
    li.dataset.id = line.id;
    const p = make("p", {});
    if (line.note) p.textContent = line.note;
    else {
      const can = at || this.#seek.able();
      const when = clock(line.words[0]?.start_us ?? 0).slice(0, 8).replace(/^00:/, "");
      li.append(make(can ? "button" : "span", { className: "at", ...(can && { type: "button", title: this.#seek.able() ? "Play from here" : "Show in the transcript" }) }, when));
      this.#fill(p, line, at);
    }
    li.append(p);
    return li;
  }

  #fill(p, line, at) {
    p.lang = line.language ?? "";
    p.dir = direction(line.language);
    if (at) p.replaceChildren(...marked(textOf(line), at));
    else if (this.#words && line.words.length)
      p.replaceChildren(...line.words.map((w) => make("span", { className: "w" }, w.text, make("small", {}, clock(w.start_us).replace(/^00:/, "").slice(0, -1)))));
    else p.textContent = joined(line.words);
    if (line.was !== null) p.append(make("span", { className: "was" }, make("b", {}, "Corrected. "), `Before: ${line.was}`));
  }

  #go(li) {
    const line = this.#transcript.lines.find((l) => l.id === Number(li.dataset.id));
    if (!line) return;
    if (this.#seek.able()) this.#seek(line.words[0]?.start_us ?? 0);
    if (!this.#query) return;
    this.#forget();
    const there = this.#lines.querySelector(`[data-id="${line.id}"]`);
    this.#following(false);
    there?.scrollIntoView({ block: "center" });
    there?.classList.add("told");
    there?.querySelector(".at").focus?.();
  }

  #forget() {
    this.#root.querySelector("#search").value = this.#query = "";
    this.#shown = Infinity; // the line may be an early one
    this.draw();
    this.#shown = SHOWN;
  }

  #following(yes) {
    this.#follow = yes;
    this.#root.querySelector("#follow").hidden = yes;
  }

  #toEnd() {
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
  }
}

function marked(text, at) {
  const out = [];
  let done = 0;
  for (const [from, to] of at) {
    out.push(text.slice(done, from), make("mark", {}, text.slice(from, to)));
    done = to;
  }
  return [...out, text.slice(done)];
}

function save(name, text, type) {
  const url = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
