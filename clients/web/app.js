// SPDX-License-Identifier: Apache-2.0
import { Announcer } from "./announce.js";
import { LumivoxClient } from "./lumivox.js";
import { Microphone } from "./microphone.js";
import { Panel } from "./panel.js";
import { Programme } from "./programme.js";
import { Settings, paint } from "./settings.js";
import { Sound } from "./sound.js";
import { Stage } from "./stage.js";
import { Transcript, textOf } from "./transcript.js";
import { Voice, listVoices } from "./voice.js";

const $ = (id) => document.getElementById(id);
const APART_US = 400000; // so far may picture and described sound be apart
const LANES = ["caption", "translation", "description"];
const params = new URLSearchParams(location.hash.slice(1));
const base = new URL("./", location.href);

let client, watch, list = [], model = [], current = null, info = null, connection = "connecting", latency = null, wrong = "";
let ducked = false, hushed = false; // by the browser's voice; described sound, by the viewer
let clear_ms = 6000, asked = 0, catching = null; // subscriptions not answered yet; history that is still coming
const said = Object.fromEntries(LANES.map((l) => [l, new Transcript()]));
const tongue = {}; // of each lane that is on, the language that was asked for

const settings = new Settings($("settings"), apply);
const now = () => settings.now;

const programme = new Programme($("programme"), onProgramme);
const announcer = new Announcer($("log"));
const voice = new Voice(now, (yes) => { ducked = yes; setVolume(); });
const sound = new Sound(() => { setVolume(); wish(); show(); });
const microphone = new Microphone();
const stage = new Stage($("stage"), {
  now_us: () => programme.now_us,
  onWord: (lane, w, language) => lane === announced() && announcer.word(w, language),
  onLine: (lane, line) => {
    if (lane === announced()) announcer.rest();
    if (lane !== "description" || !line.words.length) return;
    if (describe("text")) announcer.say(`Description: ${textOf(line)}`, line.language);
    if (browserSpeaks()) voice.say(textOf(line), line.language);
  },
});
const panel = new Panel($("transcript"), {
  seek: Object.assign((us) => programme.seek(us), { able: () => programme.duration !== null }),
  file: (lane) => [current ?? "transcript", lane, said[lane].lines.at(-1)?.language].filter(Boolean).join("."),
});

const languages = (lane) => model.find((l) => l.name === lane)?.languages ?? [];
const describe = (how) => on().includes("description") && [how, "both"].includes(now().description);
/** Is the voice in a track of the programme, or the daemon's in sound of its own? Else it is one of the browser's. */
const inTrack = () => describe("voice") && programme.describes;
const described = () => Boolean(info?.described) && !inTrack() && Sound.there && !sound.failed && describe("voice");
const browserSpeaks = () => describe("voice") && !described() && !inTrack();
const announced = () => (on().includes("translation") ? "translation" : "caption");

/** Languages that the viewer can choose: all that the model can translate to, but the one that is spoken. */
const choices = () => languages("translation").filter((l) => l !== info?.language);
const chosen = () => (choices().includes(now().translation) ? now().translation : "");

/** The lanes that are wanted: captions always, for the transcript. */
function on() {
  return ["caption", ...(chosen() ? ["translation"] : []), ...(languages("description").length && now().description !== "off" ? ["description"] : [])];
}

/* ---- settings and controls ---- */

function apply(s, changed) {
  paint(document.documentElement, s);
  $("size-now").textContent = `${s.size} %`;
  $("rate-now").textContent = `${s.rate} %`;
  for (const id of ["announce", "captions"]) $(id).setAttribute("aria-pressed", String(s[id]));
  announcer.on(s.announce);
  $("transcript").hidden = !s.transcript;
  $("show-transcript").setAttribute("aria-pressed", String(s.transcript));
  $("volume").value = s.volume;
  setVolume();
  if (changed === "token") return start();
  if (changed === "late") programme.hide();
  if (["translation", "description"].includes(changed) || !changed) wish();
  show();
}

/** The programme's own sound gives way to the described one. */
function setVolume() {
  const volume = now().volume / 100;
  $("programme").volume = sound.on ? 0 : volume * (ducked ? 0.25 : 1);
  sound.volume = hushed ? 0 : volume;
}

function showMuted() {
  const v = $("programme"), muted = sound.on ? hushed || !now().volume : v.muted || v.volume === 0;
  $("mute").setAttribute("aria-pressed", String(muted));
  $("mute").querySelector("use").setAttribute("href", `icons.svg#${muted ? "mute" : "sound"}`);
}

function show() {
  const s = now(), lanes = on();
  if (s.late !== "none" && info && !["ended", "failed"].includes(info.state)) programme.show(info, { base, late: s.late === "match", token: s.token });
  else if (s.late === "none") programme.hide();
  programme.describe(describe("voice"));
  const picture = programme.shown, shown = {};
  if (s.captions) shown.caption = info?.language ? languageName(info.language) : "Captions";
  if (chosen()) shown.translation = languageName(chosen());
  if (describe("text")) shown.description = "Description";
  $("programme").hidden = !picture;
  $("player").hidden = !picture && !sound.on;
  $("time").hidden = !picture;
  showMuted();
  stage.configure({ shown, picture, clear_ms: Math.max(1000, clear_ms - (latency ?? 0)), rows: Number(s.rows), blocks: s.come === "phrases" });
  $("empty").hidden = !!current;
  fill($("translation"), [["", "Off"], ...choices().map((l) => [l, languageName(l), l])], chosen());
  $("translation-field").hidden = !choices().length;
  $("description-field").hidden = !languages("description").length;
  $("description").value = s.description;
  const which = $("which").value;
  fill($("which"), lanes.map((l) => [l, { caption: "As spoken", translation: languageName(chosen()), description: "Description" }[l]]),
    lanes.includes(which) ? which : "caption");
  $("which-field").hidden = lanes.length < 2;
  if ($("which").value !== which) panel.show(said[$("which").value], $("which").value);
  showStatus();
}

/** Options of a select: [value, text, language]. Only touched when they change, for it may be open. */
function fill(select, options, value) {
  const text = JSON.stringify(options);
  if (select.dataset.options !== text) {
    select.dataset.options = text;
    select.replaceChildren(...options.map(([v, t, lang]) => Object.assign(new Option(t, v), lang ? { lang } : {})));
  }
  if (select.value !== value) select.value = value;
}

function languageName(tag) {
  try {
    return new Intl.DisplayNames([tag], { type: "language" }).of(tag).replace(/^./u, (c) => c.toUpperCase());
  } catch {
    return tag;
  }
}

function onProgramme(event) {
  const v = $("programme");
  if (event === "tracks") return queueMicrotask(() => { wish(); show(); });
  if (event === "show" || event === "hide") return queueMicrotask(show);
  if (event === "seeked" || event === "loadeddata") stage.jump(Object.fromEntries(on().map((l) => [l, said[l]])));
  if (event === "pause" || event === "play") setPaused(v.paused && programme.shown);
  showMuted();
  $("seek").hidden = programme.duration === null;
  if (programme.duration) $("seek").max = programme.duration;
  if (event === "durationchange") panel.draw();
}

setInterval(() => {
  if (!programme.shown) return;
  const at = $("programme").currentTime, two = (n) => String(Math.floor(n)).padStart(2, "0");
  const text = `${two(at / 60)}:${two(at % 60)}`;
  if ($("time").textContent !== text) $("time").textContent = text;
  if (document.activeElement !== $("seek")) $("seek").value = at;
}, 250);

// Described sound is some seconds late, and cannot wait: the picture goes where it is.
setInterval(() => {
  const heard_us = sound.now_us, seen_us = programme.now_us;
  if (heard_us !== null && seen_us !== null && !$("programme").paused && !$("programme").seeking && Math.abs(heard_us - seen_us) > APART_US)
    programme.move(heard_us - seen_us);
}, 3000);

function setPaused(yes) {
  stage.paused = yes;
  sound.paused = yes;
  $("pause").setAttribute("aria-label", yes ? "Go on" : "Pause");
  $("pause").title = yes ? "Go on (K)" : "Pause (K)";
  $("pause").querySelector("use").setAttribute("href", `icons.svg#${yes ? "play" : "pause"}`);
  stage.drain();
  showStatus();
}

/* ---- the stream that is shown ---- */

function open(id) {
  watch?.close();
  current = id;
  info = list.find((s) => s.id === id) ?? null;
  latency = null;
  wrong = "";
  programme.hide();
  voice.stop();
  sound.stop();
  stage.clear();
  announcer.clear();
  for (const t of Object.values(said)) t.clear();
  panel.draw();
  params.set("stream", id);
  params.delete("token");
  history.replaceState(null, "", `#${params}`);
  document.title = `${id} · Lumivox`;
  asked = client.open ? 1 : 0;
  Object.assign(tongue, wanted());
  watch = client.subscribe(id, { ...options(), from: "start" }, onEvent);
  showStreams();
  show();
}

const wanted = () => ({ translation: chosen(), description: on().includes("description"), activity: browserSpeaks(), sound: described() });
const options = () => ({ lanes: on(), translateTo: chosen() || undefined, activity: browserSpeaks(), sound: described() ? "mix" : undefined });

/** Asks for what is wanted now; lanes that are new come with their history. */
function wish() {
  if (!watch || !info) return;
  const was = { ...tongue }, is = wanted();
  if (JSON.stringify(was) === JSON.stringify(is)) return;
  for (const lane of ["translation", "description"]) if (was[lane] !== is[lane]) said[lane].restart();
  if (!is.activity) voice.stop();
  if (!is.sound) sound.stop();
  Object.assign(tongue, is);
  wrong = "";
  asked++;
  watch.change({ ...options(), from: "start" });
  panel.draw();
}

function onEvent(e) {
  if (e.type === "sound") return void sound.packet(e);
  if (e.type === "subscribed") onSubscribed(e);
  else if (e.type === "error") onError(e);
  else if (e.type === "text") onText(e);
  else if (e.type === "correction") onCorrection(e);
  else if (e.type === "activity") voice.activity(e.speech);
  else if (e.type === "gap") onGap(e);
  else if (e.type === "state") info = { ...info, state: e.state, message: e.message };
  else if (e.type === "end") onEnd(e);
  if (e.type !== "text" && e.type !== "activity") show();
}

function onSubscribed(e) {
  asked = Math.max(0, asked - 1);
  info = { ...e.info, state: e.state };
  let again = false;
  for (const t of Object.values(said)) again = t.begin(e.epoch) || again;
  if (again) {
    programme.hide(); // its clock was that of the old run
    note("The stream began again.");
  }
  catching ??= { words: [], resumed: said.caption.lines.length > 0 };
  catching.until = e.next_seq;
  later();
  wish(); // the stream may know other languages than the list did
}

function onError(e) {
  if (e.code === "not_found") info = { ...info, state: "waiting", message: e.message };
  if (e.code !== "over_limit" && e.code !== "invalid") return;
  asked = Math.max(0, asked - 1);
  // What the stream makes by itself is to be had all the same.
  Object.assign(tongue, { translation: "", description: false, activity: false, sound: false });
  settings.now.description = info?.lanes?.includes("description") ? now().description : "off";
  settings.set("translation", info?.lanes?.includes("translation") && chosen() !== info.translate_to ? info.translate_to : "");
  wrong = e.code === "over_limit" ? "There is no room for another language or lane just now." : e.message;
}

function onText(e) {
  const t = said[e.lane];
  if (!t || !on().includes(e.lane) || (e.lane !== "caption" && asked)) return;
  if (e.lane === "translation" && e.language && e.language !== chosen()) return;
  const { fresh, line, words, ended } = t.add(e);
  if (!fresh) return;
  if (e.latency_ms !== null) latency = e.latency_ms;
  const rest = (l) => ["rest", e.lane, l];
  const items = [...ended.filter((l) => l !== line).map(rest), ...words.map((w) => ["word", e.lane, w, e.language]), ...ended.filter((l) => l === line).map(rest)];
  if (catching && e.seq < catching.until) {
    catching.words.push(...items);
    return later();
  }
  if (catching) caught();
  for (const [what, ...rest] of items) stage[what](...rest);
  if (line && e.lane === $("which").value) panel.grown(line);
  stage.drain();
  showStatus();
}

/** History comes in one piece; then its last words are shown, or, after a lost connection, all that was missed. */
function later() {
  clearTimeout(catching.timer);
  catching.timer = setTimeout(caught, 120);
}

function caught() {
  if (!catching) return;
  const { words, resumed, timer } = catching;
  clearTimeout(timer);
  catching = null;
  panel.draw();
  for (const [what, ...rest] of words.slice(resumed ? -400 : -120)) {
    if (resumed || what === "word" || rest[0] !== "description") stage[what](...rest);
  }
  if (!resumed && words.length) announcer.clear();
  stage.drain();
  showStatus();
}

function onCorrection(e) {
  const lines = said[e.lane]?.correct(e) ?? [];
  if (e.lane === $("which").value && !catching) panel.changed(lines);
}

function onGap(e) {
  if (e.what === "media") note(`${((e.end_us - e.start_us) / 1e6).toFixed(1)} s of the programme are missing.`);
  else if (e.reason === "history" && said.caption.lines.length) note("Some captions in between are no longer kept.");
}

function note(text) {
  const line = said.caption.note(text);
  if ($("which").value === "caption" && !catching) panel.grown(line);
}

function onEnd(e) {
  caught();
  info = { ...info, state: e.reason === "ended" ? "ended" : e.reason, message: e.message };
  for (const [lane, t] of Object.entries(said)) {
    const line = t.finish();
    if (line) stage.rest(lane, line);
  }
}

const STATES = { starting: "Starting", live: "Live", stalled: "No signal", reconnecting: "Signal lost, trying again", ended: "Ended", failed: "Failed", vanished: "Sender lost", device: "The compute device failed", deleted: "Stopped", shutdown: "The server is stopping", waiting: "Waiting for the stream" };

function showStatus() {
  let state = connection, text = { connecting: "Connecting…", lost: "Connection lost, trying again", denied: "Access token needed: see Settings" }[connection];
  if (connection === "open") {
    state = info?.state ?? "open";
    text = current ? `${STATES[state] ?? "Connected"}${info?.message && state !== "waiting" ? `: ${info.message}` : ""}` : "Connected";
  }
  $("status").dataset.state = state;
  if ($("status").textContent !== text) $("status").textContent = text;
  const behind = latency !== null && state === "live" ? `${(latency / 1000).toFixed(1)} s behind` : stage.paused ? "Paused" : "";
  if ($("behind").textContent !== behind) $("behind").textContent = behind;
  // Whoever looks at the captions alone, full screen or from afar, sees why none come.
  const trouble = ["connecting", "open", "starting", "live", "ended"].includes(state) ? wrong : text;
  $("trouble").hidden = !trouble;
  if ($("trouble").textContent !== trouble) $("trouble").textContent = trouble;
}

/* ---- the list ---- */

function showStreams() {
  const options = list.map((s) => [s.id, s.state === "live" ? s.id : `${s.id} (${(STATES[s.state] ?? s.state).toLowerCase()})`]);
  if (current && !list.some((s) => s.id === current)) options.push([current, current]);
  fill($("stream"), options.length ? options : [["", "No streams"]], current ?? "");
  $("stream").disabled = !options.length;
}

async function refresh() {
  try {
    const answer = await client.streams();
    list = answer.streams;
    model = answer.lanes;
    clear_ms = (answer.clear_after_us ?? 6000000) / 1000;
    const wanted = params.get("stream");
    if (!current && (list.length || wanted)) open(wanted ?? (list.find((s) => s.state === "live") ?? list[0]).id);
    else if (!current) connection = "open";
    showStreams();
    show();
  } catch (e) {
    if (e.status === 401) connection = "denied";
    else if (!current) connection = "lost";
    showStatus();
  }
}

function start() {
  client?.close();
  client = new LumivoxClient(base, { token: now().token });
  client.addEventListener("state", ({ detail }) => {
    if (connection !== "denied" || detail === "open") connection = detail;
    if (detail === "open") asked = watch ? 1 : 0;
    showStatus();
  });
  const again = current;
  current = null;
  watch = null;
  if (again) open(again);
  refresh();
}

async function toggleMicrophone() {
  if (microphone.on) return microphone.stop();
  try {
    const id = await microphone.start(client, (error) => {
      $("mic").setAttribute("aria-pressed", "false");
      if (error) note(`Microphone: ${error.message}`);
    });
    $("mic").setAttribute("aria-pressed", "true");
    await refresh();
    open(id);
  } catch (e) {
    wrong = `No microphone: ${e.message}`;
    showStatus();
  }
}

/* ---- buttons and keys ---- */

const resize = (by) => settings.set("size", Math.min(300, Math.max(50, now().size + by)));
const toggle = (name) => settings.set(name, !now()[name]);
const actions = {
  pause: () => {
    if (!programme.shown) setPaused(!stage.paused);
    else if ($("programme").paused) $("programme").play().catch(() => {});
    else $("programme").pause();
  },
  mute: () => {
    const v = $("programme");
    if (sound.on) hushed = !hushed;
    else if (programme.shown) v.muted = !v.muted;
    setVolume();
    showMuted();
  },
  captions: () => toggle("captions"),
  announce: () => toggle("announce"),
  "show-transcript": () => toggle("transcript"),
  smaller: () => resize(-10),
  larger: () => resize(10),
  full: () => (document.fullscreenElement ? document.exitFullscreen() : document.querySelector(".watch").requestFullscreen()),
  "open-settings": () => $("settings").showModal(),
  reset: () => settings.reset(),
  mic: toggleMicrophone,
};
for (const [id, act] of Object.entries(actions)) $(id).onclick = act;
$("translation").onchange = (e) => settings.set("translation", e.target.value);
$("description").onchange = (e) => {
  settings.set("description", e.target.value);
  if (inTrack()) $("programme").muted = false; // it was chosen to be heard
};
$("stream").onchange = (e) => open(e.target.value);
$("which").onchange = (e) => panel.show(said[e.target.value], e.target.value);
$("seek").oninput = (e) => programme.seek(Number(e.target.value) * 1e6);
$("volume").oninput = (e) => { $("programme").muted = hushed = false; settings.set("volume", Number(e.target.value)); };
$("settings").addEventListener("click", (e) => { if (e.target === e.currentTarget) e.currentTarget.close(); });
$("mic").hidden = !Microphone.there;
$("full").hidden = !document.fullscreenEnabled;
listVoices($("settings").querySelector("[name=voice]"), () => now().voice);

const KEYS = { k: "pause", c: "captions", t: "show-transcript", f: "full", m: "mute", ",": "open-settings", "+": "larger", "=": "larger", "-": "smaller" };
document.addEventListener("keydown", (e) => {
  if (!now().keys || e.ctrlKey || e.altKey || e.metaKey || $("settings").open || e.target.closest("input:not([type=range]), select, textarea")) return;
  if (e.key === "/") {
    if (!now().transcript) toggle("transcript");
    panel.focus();
  } else if (Object.hasOwn(KEYS, e.key.toLowerCase())) $(KEYS[e.key.toLowerCase()]).click();
  else return;
  e.preventDefault();
});

panel.show(said.caption, "caption");
if (params.get("token")) settings.set("token", params.get("token")); // starts
else start();
setInterval(refresh, 3000);
