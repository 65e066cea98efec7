// SPDX-License-Identifier: Apache-2.0
// The operator's page: all streams at a glance, starting and stopping them, and the lines that can still be corrected.
import { Cards } from "./cards.js";
import { Lines } from "./lines.js";
import { LumivoxClient } from "./lumivox.js";

const $ = (id) => document.getElementById(id);
const KEY = "lumivox-operator", base = new URL("./", location.href);
const params = new URLSearchParams(location.hash.slice(1));
const kept = read("localStorage", { after: 10, beep: false });

let client, daemon = null, token = params.get("token") ?? read("sessionStorage", { token: "" }).token, again = 0, logged = 0;
let chosen = params.get("stream"), alarms = new Set(), sound = null;
const gone = new Map(); // stopped here and forgotten by the daemon: they can be started again

function read(store, otherwise) {
  try {
    const saved = JSON.parse(globalThis[store].getItem(KEY));
    return Object.fromEntries(Object.entries(otherwise).map(([k, v]) => [k, typeof saved?.[k] === typeof v ? saved[k] : v]));
  } catch {
    return otherwise;
  }
}

function keep() {
  try {
    localStorage.setItem(KEY, JSON.stringify(kept));
    sessionStorage.setItem(KEY, JSON.stringify({ token }));
  } catch { /* they last as long as the page */ }
}

const say = (state, text) => {
  $("status").dataset.state = state;
  if ($("status").textContent !== text) $("status").textContent = text;
};
/** What a refusal means to a person. */
const why = (e) => (e.status === 401 ? "The operator's token is needed: see Access." : e.message);

const lines = new Lines($("lines-of"), {
  correct: (stream, body) => client.request(`streams/${encodeURIComponent(stream)}/corrections`, { method: "POST", body }),
  why,
});
const cards = new Cards($("list"), {
  choose: (id) => choose(id),
  stop: (s) => stop(s),
  start: (s) => make(s),
  lanes: async (s, wanted) => {
    try {
      await client.request(`streams/${encodeURIComponent(s.id)}`, { method: "PATCH", body: { lanes: wanted } });
    } catch (e) {
      say("failed", why(e));
    }
    refresh();
  },
});

function choose(id) {
  chosen = id;
  params.set("stream", id);
  params.delete("token");
  history.replaceState(null, "", `#${params}`);
  lines.open(client, id);
  draw();
}

/* ---- what the daemon says, twice a second ---- */

async function refresh() {
  clearTimeout(again);
  try {
    daemon = await client.streams();
    say("live", "Connected");
    for (const s of daemon.streams) gone.delete(s.id);
    if (!daemon.streams.some((s) => s.id === chosen) && daemon.streams.length && !gone.has(chosen)) choose(daemon.streams[0].id);
    draw();
  } catch (e) {
    if (e.status === 401) say("failed", "The operator's token is needed: see Access");
    else say("lost", "Connection lost, trying again");
  }
  again = setTimeout(refresh, document.hidden ? 1000 : 500);
}

function draw() {
  if (!daemon) return;
  const all = [...daemon.streams, ...[...gone.values()].map((s) => ({ ...s, state: "deleted", message: "" }))];
  const dead = (s) => s.state === "live" && s.silent_us >= kept.after * 1e6;
  cards.draw(all, { chosen, model: daemon.lanes, dead });
  $("none").hidden = all.length > 0;
  const device = `${daemon.model} on ${daemon.device.replace(/ \(.*/, "")}, ${daemon.limits.streams_used} of ${daemon.limits.streams} streams`;
  if ($("device").textContent !== device) $("device").textContent = device;
  lines.info(all.find((s) => s.id === chosen), daemon.now_us);
  alarm(new Set(all.filter(dead).map((s) => s.id)));
}

/* An alarm is told once, when it begins; the card shows for how long. */
function alarm(now) {
  const fresh = [...now].filter((id) => !alarms.has(id));
  if (fresh.length) $("alarm").textContent = `No sound: ${[...now].join(", ")}`;
  else if (!now.size) $("alarm").textContent = "";
  alarms = now;
  document.title = now.size ? `No sound: ${[...now].join(", ")}` : "Lumivox: operator";
  if (fresh.length && kept.beep) beep();
}

function beep() {
  sound ??= new AudioContext();
  for (const at of [0, 0.25, 0.5]) {
    const tone = new OscillatorNode(sound, { frequency: 880 }), gain = new GainNode(sound, { gain: 0.15 });
    tone.connect(gain).connect(sound.destination);
    tone.start(sound.currentTime + at);
    tone.stop(sound.currentTime + at + 0.12);
  }
}

async function readLog() {
  try {
    const { entries } = await client.request("log");
    if (entries.length && entries.at(-1).n < logged) { logged = 0; $("log").replaceChildren(); } // the daemon started anew
    for (const e of entries.filter((x) => x.n > logged)) {
      const li = document.createElement("li"), at = document.createElement("time"), text = document.createElement("p");
      li.dataset.level = e.level;
      at.dateTime = new Date(e.wall_us / 1000).toISOString();
      at.textContent = new Date(e.wall_us / 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
      const level = Object.assign(document.createElement("b"), { textContent: e.level === "error" ? "Error" : "Warning" });
      text.append(level, ` ${e.message}`);
      li.append(at, text);
      $("log").prepend(li);
      logged = e.n;
    }
    while ($("log").childElementCount > 200) $("log").lastChild.remove();
    $("no-log").textContent = "Nothing so far.";
  } catch (e) {
    $("no-log").textContent = why(e);
  }
  $("no-log").hidden = $("log").childElementCount > 0;
  setTimeout(readLog, 3000);
}

/* ---- starting and stopping ---- */

function options(select, all, value) {
  select.replaceChildren(...all.map(([v, text]) => new Option(text, v)));
  select.value = all.some(([v]) => v === value) ? value : all[0][0];
}

/** The form for a new stream, or for one that is to be started again. */
function make(s = {}) {
  if (!daemon) return;
  const f = $("make").querySelector("form").elements, lane = (name) => daemon.lanes.find((l) => l.name === name)?.languages ?? [];
  f.id.value = s.id ?? "";
  f.uri.value = s.uri ?? "";
  $("make-title").textContent = s.id ? `Start ${s.id} again` : "New stream";
  $("schemes").textContent = `Allowed: ${daemon.limits.schemes.map((x) => `${x}:`).join(", ")}`;
  const boxes = daemon.lanes.map(({ name }) => {
    const label = document.createElement("label");
    label.className = "check";
    label.append(Object.assign(document.createElement("input"), { type: "checkbox", name: "lane", value: name, checked: (s.lanes ?? ["caption"]).includes(name) }), ` ${name}`);
    return label;
  });
  $("make-lanes").replaceChildren($("make-lanes").firstElementChild, ...boxes);
  options(f.translate_to, [["", "as configured"], ...lane("translation").map((l) => [l, l])], s.translate_to ?? "");
  options(f.language, [["", "as configured"], ["auto", "found out"], ...lane("caption").map((l) => [l, l])], s.language ?? "");
  options(f.delay_ms, [["", "as configured"], ...daemon.delays_ms.map((d) => [String(d), `${d} ms`])], s.delay_us ? String(s.delay_us / 1000) : "");
  $("make").querySelector(".wrong").textContent = "";
  $("make").showModal();
}

$("make").querySelector("form").onsubmit = async (event) => {
  event.preventDefault();
  const form = event.target, f = form.elements;
  const body = { id: f.id.value, uri: f.uri.value.trim(), lanes: [...form.querySelectorAll("[name=lane]:checked")].map((x) => x.value) };
  if (f.translate_to.value) body.translate_to = f.translate_to.value;
  if (f.language.value) body.language = f.language.value;
  if (f.delay_ms.value) body.delay_ms = Number(f.delay_ms.value);
  try {
    const made = await client.request("streams", { method: "POST", body });
    gone.delete(made.id);
    $("make").close();
    await refresh();
    choose(made.id);
  } catch (e) {
    form.querySelector(".wrong").textContent = why(e);
  }
};

function stop(s) {
  $("stop-title").textContent = `Stop ${s.id}?`;
  $("stop").returnValue = "";
  $("stop").showModal();
  $("stop").onclose = async () => {
    if ($("stop").returnValue !== "stop") return;
    try {
      await client.request(`streams/${encodeURIComponent(s.id)}`, { method: "DELETE" });
      gone.set(s.id, s);
    } catch (e) {
      say("failed", why(e));
    }
    refresh();
  };
}

/* ---- the rest ---- */

$("add").onclick = () => make();
$("make").querySelector("[data-close]").onclick = () => $("make").close();
$("access").onclick = () => {
  $("token").querySelector("input").value = token;
  $("token").returnValue = "";
  $("token").showModal();
};
$("token").onclose = () => {
  if ($("token").returnValue !== "save") return;
  token = $("token").querySelector("input").value.trim();
  keep();
  begin();
};
$("after").value = kept.after;
$("after").onchange = ({ target }) => {
  if (!target.checkValidity()) target.value = 10;
  kept.after = Number(target.value);
  keep();
};
const showBeep = () => $("beep").setAttribute("aria-pressed", String(kept.beep));
$("beep").onclick = () => {
  kept.beep = !kept.beep;
  if (kept.beep) beep(); // so one knows it, and the browser lets it sound later
  keep();
  showBeep();
};
showBeep();

function begin() {
  client?.close();
  client = new LumivoxClient(base, { token });
  if (chosen) lines.open(client, chosen);
  refresh();
}

begin();
readLog();
