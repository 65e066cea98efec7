// SPDX-License-Identifier: Apache-2.0
import { LumivoxClient } from "./lumivox.js";
import { Settings } from "./settings.js";
import { Lane, languageName } from "./lane.js";

const $ = (id) => document.getElementById(id);
const params = new URLSearchParams(location.hash.slice(1));
const lanes = Object.fromEntries(["caption", "translation", "description"].map((n) => [n, new Lane($(`lane-${n}`))]));

let client, watch, list = [], current = null, info = null, ended = false, latency = null, connection = "connecting", recorder = null;
let epoch = null;

const settings = new Settings($("settings"), applySettings);
if (params.get("token")) settings.set("token", params.get("token"));

function applySettings(s, changed) {
  const root = document.documentElement;
  Object.assign(root.dataset, { scheme: s.scheme, font: s.font, spacing: s.spacing });
  root.style.setProperty("--scale", s.size / 100);
  $("size-now").textContent = `${s.size} %`;
  for (const lane of Object.values(lanes)) lane.announce(s.live);
  if (changed === "token") start();
  showLanes();
}

function showLanes() {
  const on = info?.lanes ?? ["caption"];
  for (const [name, lane] of Object.entries(lanes)) lane.show(settings.now[name] && (on.includes(name) || lane.used));
  const playable = settings.now.programme && /^https?:/.test(info?.uri ?? "") && !ended;
  const video = $("programme");
  if (playable && video.getAttribute("src") !== info.uri) {
    video.src = info.uri;
    if (info.heard_us) video.currentTime = info.heard_us / 1e6;
    video.play().catch(() => {});
  } else if (!playable && video.hasAttribute("src")) {
    video.pause();
    video.removeAttribute("src");
    video.load();
  }
  video.hidden = !playable;
}

/* ---- the stream that is shown ---- */

function open(id) {
  watch?.close();
  current = id;
  info = list.find((s) => s.id === id) ?? null;
  epoch = null;
  reset();
  params.set("stream", id);
  params.delete("token");
  history.replaceState(null, "", `#${params}`);
  watch = client.subscribe(id, { from: { last: 400 } }, onEvent);
  showStreams();
  showStatus();
}

function reset() {
  ended = false;
  latency = null;
  for (const lane of Object.values(lanes)) lane.clear();
  showLanes();
}

function onEvent(e) {
  if (e.type === "subscribed") {
    info = { ...e.info, state: e.state };
    if (epoch !== null && e.epoch !== epoch) reset(); // another run of the stream
    epoch = e.epoch;
    ended = e.state === "ended" || e.state === "failed";
    lanes.translation.language(info.translate_to);
    showLanes();
  } else if (e.type === "text") {
    const lane = lanes[e.lane];
    if (!lane) return;
    if (e.language) lane.language(e.language);
    if (!lane.used) queueMicrotask(showLanes);
    const whole = lane.add(e);
    if (whole && e.lane === "description" && settings.now.speak && !speechIsOld(e)) speak(whole, e.language);
    if (e.latency_ms !== null) latency = e.latency_ms;
  } else if (e.type === "gap") {
    const text = e.what === "media" ? `[${((e.end_us - e.start_us) / 1e6).toFixed(1)} s are missing]` : "[earlier captions are no longer kept]";
    if (e.what === "media" || e.reason !== "history") lanes.caption.note(text);
  } else if (e.type === "state") {
    info = { ...info, state: e.state, message: e.message };
  } else if (e.type === "end") {
    ended = true;
    info = { ...info, state: e.reason === "ended" ? "ended" : e.reason, message: e.message };
    for (const lane of Object.values(lanes)) lane.finish();
    showLanes();
  }
  showStatus();
}

const speechIsOld = (e) => e.latency_ms === null && !ended ? false : e.latency_ms > 10000;

function speak(text, language) {
  const u = new SpeechSynthesisUtterance(text);
  u.lang = language ?? "en";
  speechSynthesis.speak(u);
}

function showStatus() {
  const status = $("status");
  let state = connection, text = { connecting: "connecting…", lost: "connection lost, trying again…" }[connection];
  if (connection === "open") {
    state = info?.state ?? "open";
    text = current ? `${current}: ${state}${info?.message ? ` (${info.message})` : ""}` : "connected";
  }
  status.dataset.state = state;
  if (status.textContent !== text) status.textContent = text;
  // Whoever looks at the captions alone, full screen or from afar, sees why none come.
  $("trouble").hidden = ["connecting", "open", "starting", "live", "ended"].includes(state);
  $("trouble").textContent = text;
  const bits = [];
  if (info?.translate_to) bits.push(`to ${languageName(info.translate_to)}`);
  if (latency !== null && connection === "open") bits.push(`${(latency / 1000).toFixed(1)} s behind the speaker`);
  if (lanes.caption.words) bits.push(`${lanes.caption.words} words`);
  if (lanes.caption.paused) bits.push("paused");
  $("details").textContent = bits.join(" · ");
}

/* ---- the list ---- */

function showStreams() {
  $("no-streams").hidden = list.length > 0;
  const ul = $("streams"), old = new Map([...ul.children].map((li) => [li.dataset.id, li]));
  for (const s of list) {
    let li = old.get(s.id);
    old.delete(s.id);
    if (!li) {
      li = document.createElement("li");
      li.dataset.id = s.id;
      const button = document.createElement("button");
      button.type = "button";
      button.append(document.createElement("span"), document.createElement("small"));
      button.firstChild.textContent = s.id;
      button.onclick = () => open(s.id);
      li.append(button);
      ul.append(li);
    }
    const text = `${s.state}${s.translate_to ? `, to ${languageName(s.translate_to)}` : ""}`;
    if (li.firstChild.lastChild.textContent !== text) li.firstChild.lastChild.textContent = text;
    li.firstChild.setAttribute("aria-current", String(s.id === current));
  }
  for (const li of old.values()) li.remove();
}

async function refresh() {
  try {
    list = (await client.streams()).streams;
    showStreams();
    const wanted = params.get("stream");
    if (!current && list.length) open((list.find((s) => s.id === wanted) ?? list.find((s) => s.state === "live") ?? list[0]).id);
    else if (!current && wanted) open(wanted);
    else if (!current) { connection = "open"; showStatus(); }
  } catch (e) {
    if (e.status === 401) {
      $("status").dataset.state = "failed";
      $("status").textContent = "the server wants an access token: see Settings";
    } else if (!current) {
      connection = "lost";
      showStatus();
    }
  }
}

function start() {
  client?.close();
  client = new LumivoxClient(new URL("./", location.href), { token: settings.now.token });
  client.addEventListener("state", (e) => { connection = e.detail; showStatus(); });
  client.addEventListener("error", (e) => { if (e.detail.code === "not_found") { info = { state: "waiting", message: e.detail.message }; showStatus(); } });
  const again = current;
  current = null;
  if (again) open(again);
  refresh();
}

/* ---- the microphone, as WebM/Opus ---- */

async function toggleMicrophone() {
  const button = $("mic");
  if (recorder) return recorder.stop();
  try {
    const media = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
    const type = ["audio/webm;codecs=opus", "audio/ogg;codecs=opus", "audio/mp4"].find((t) => MediaRecorder.isTypeSupported(t));
    const push = await client.push({ format: "container", live: true });
    recorder = new MediaRecorder(media, { mimeType: type, audioBitsPerSecond: 48000 });
    recorder.ondataavailable = (e) => push.send(e.data);
    recorder.onstop = () => {
      recorder = null;
      for (const track of media.getTracks()) track.stop();
      push.finish();
      button.setAttribute("aria-pressed", "false");
    };
    push.done.catch((e) => { recorder?.stop(); lanes.caption.note(`[microphone: ${e.message}]`); });
    recorder.start(100);
    button.setAttribute("aria-pressed", "true");
    await refresh();
    open(push.stream);
  } catch (e) {
    lanes.caption.note(`[no microphone: ${e.message}]`);
  }
}

/* ---- buttons ---- */

$("mic").hidden = !(navigator.mediaDevices?.getUserMedia && globalThis.MediaRecorder);
$("mic").onclick = toggleMicrophone;
$("pause").onclick = () => {
  const paused = !lanes.caption.paused;
  for (const lane of Object.values(lanes)) lane.pause(paused);
  $("pause").setAttribute("aria-pressed", String(paused));
  showStatus();
};
$("full").hidden = !document.fullscreenEnabled;
$("full").onclick = () => document.fullscreenElement ? document.exitFullscreen() : $("captions").requestFullscreen();
$("open-settings").onclick = () => $("settings").showModal();
$("reset").onclick = () => settings.reset();

start();
setInterval(refresh, 3000);
