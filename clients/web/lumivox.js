// SPDX-License-Identifier: Apache-2.0
/**
 * A small client of lumivoxd (docs/PROTOCOL.md). No dependencies; a browser, or Node with a WebSocket class.
 *
 *   const client = new LumivoxClient("http://127.0.0.1:8437");
 *   const { streams } = await client.streams();
 *   const watch = client.subscribe("news", { from: "start" }, (event) => console.log(event));
 *   watch.change({ lanes: ["caption", "translation"], translateTo: "fr" });
 *   watch.close();
 *   const push = await client.push({ format: "container" });
 *   push.send(bytes); push.finish(); await push.done;
 *
 * Subscriptions survive lost connections: they resume after the last event that was seen. Events of the client:
 * "hello" (detail: the daemon's hello), "state" (detail: "connecting", "open" or "lost"), "error" (detail: the error).
 */
export class LumivoxClient extends EventTarget {
  #url; #token; #WebSocket; #socket = null; #subscriptions = new Map(); #refs = new Map();
  #ref = 0; #retry = 0; #timer = 0; #closed = false; #heard = 0; #alive = 0;

  constructor(url, { token = "", WebSocket = globalThis.WebSocket } = {}) {
    super();
    this.#url = new URL(url);
    this.#token = token;
    this.#WebSocket = WebSocket;
  }

  /**
   * An address of the HTTP API, below api/. Resolves to what it answered; an error has the daemon's code and message,
   * and the HTTP status.
   */
  async request(path, { method = "GET", body } = {}) {
    const headers = this.#token ? { Authorization: `Bearer ${this.#token}` } : {};
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const reply = await fetch(new URL(`api/${path}`, this.#url), { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    const answer = await reply.json().catch(() => ({}));
    if (!reply.ok) throw Object.assign(new Error(answer.error?.message ?? reply.statusText), { code: answer.error?.code, status: reply.status });
    return answer;
  }

  /** GET /api/streams. */
  streams() {
    return this.request("streams");
  }

  /**
   * Events of a stream go to onEvent: text, state, gap, end, correction, output, activity, "subscribed" each time it
   * begins (again), and "error" where it could not. lanes: those wanted, absent: all that the stream makes; translateTo:
   * the viewer's own language, of the model's; sound: "mix" or "voice" of a stream that is described, whose packets come
   * as { type: "sound", kind, begins, duration_us, at_us, epoch, data }. One subscription a stream; a second replaces the first.
   * Returns { close(), change(options) }; change asks again, with other options: from where it is, unless `from` says
   * otherwise. If that is refused, what there was before goes on.
   */
  subscribe(stream, { lanes, translateTo, from = "now", activity = false, sound } = {}, onEvent) {
    const sub = { stream, lanes, translateTo, from, activity, sound, onEvent, key: null, epoch: null, done: false };
    this.#subscriptions.set(stream, sub);
    if (this.#socket?.readyState === 1) this.#ask(sub);
    else this.#connect();
    return {
      change: (options) => {
        if (this.#subscriptions.get(stream) !== sub) return;
        Object.assign(sub, options, "from" in options ? { key: null } : {});
        if (this.#socket?.readyState === 1) this.#ask(sub);
      },
      close: () => {
        sub.done = true;
        if (this.#subscriptions.get(stream) !== sub) return;
        this.#subscriptions.delete(stream);
        this.#send({ type: "unsubscribe", stream });
      },
    };
  }

  /**
   * Opens a connection of its own and begins a stream. Resolves to { stream, epoch, send(bytes), finish(), close(),
   * bufferedAmount, done }; done resolves to the daemon's "pushed" message.
   */
  push(options) {
    return new Promise((resolve, reject) => {
      const ws = this.#open();
      let settle, begun = false;
      const done = new Promise((ok, no) => { settle = { ok, no }; });
      done.catch(() => {});
      const fail = (message, code) => {
        const error = Object.assign(new Error(message), { code });
        (begun ? settle.no : reject)(error);
        ws.close();
      };
      ws.onopen = () => ws.send(JSON.stringify({ type: "push", ref: "push", ...options }));
      ws.onclose = () => fail("the connection was lost", "lost");
      ws.onmessage = ({ data }) => {
        const m = JSON.parse(data);
        if (m.type === "error") fail(m.message, m.code);
        else if (m.type === "pushed") { settle.ok(m); ws.onclose = null; ws.close(1000); }
        else if (m.type === "pushing") {
          begun = true;
          resolve({
            stream: m.stream, epoch: m.epoch, done,
            send: (bytes) => ws.readyState === 1 && ws.send(bytes),
            finish: () => ws.readyState === 1 && ws.send('{"type":"finish"}'),
            close: () => ws.close(1000),
            get bufferedAmount() { return ws.bufferedAmount; },
          });
        }
      };
    });
  }

  /** Is there a connection? */
  get open() { return this.#socket?.readyState === 1; }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearInterval(this.#alive);
    this.#socket?.close(1000);
  }

  #open() {
    const url = new URL("api/ws", this.#url);
    url.protocol = url.protocol.replace("http", "ws");
    if (this.#token) url.searchParams.set("token", this.#token);
    return new this.#WebSocket(url.href, "lumivox.v1");
  }

  #send(message) {
    if (this.#socket?.readyState === 1) this.#socket.send(JSON.stringify(message));
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #ask(sub) {
    const ref = ++this.#ref;
    this.#refs.set(ref, sub);
    this.#send({
      type: "subscribe", ref, stream: sub.stream, from: sub.key ?? sub.from, activity: sub.activity,
      ...(sub.lanes && { lanes: sub.lanes }), ...(sub.translateTo && { translate_to: sub.translateTo }),
      ...(sub.sound && { sound: sub.sound }),
    });
  }

  #connect() {
    if (this.#socket || this.#closed) return;
    this.#tell("state", "connecting");
    const ws = this.#socket = this.#open();
    ws.binaryType = "arraybuffer";
    clearInterval(this.#alive);
    ws.onopen = () => {
      this.#retry = 0;
      this.#heard = Date.now();
      this.#tell("state", "open");
      for (const sub of this.#subscriptions.values()) this.#ask(sub);
      // A connection that died without a word is noticed by the pong that does not come.
      this.#alive = setInterval(() => {
        if (Date.now() - this.#heard > 25000) ws.close();
        else this.#send({ type: "ping" });
      }, 10000);
    };
    ws.onmessage = ({ data }) => {
      this.#heard = Date.now();
      if (typeof data === "string") this.#take(JSON.parse(data));
      else this.#hear(data);
    };
    ws.onclose = () => {
      clearInterval(this.#alive);
      this.#socket = null;
      this.#refs.clear();
      if (this.#closed) return;
      this.#tell("state", "lost");
      this.#again();
    };
  }

  #again() {
    clearTimeout(this.#timer);
    const wait = Math.min(10000, 500 * 2 ** this.#retry++);
    this.#timer = setTimeout(() => this.#connect(), wait);
  }

  /** Described sound: a head of 24 bytes, and a packet of Opus. */
  #hear(buffer) {
    if (buffer.byteLength < 24) return;
    const v = new DataView(buffer), epoch = Number(v.getBigInt64(8, true));
    for (const sub of this.#subscriptions.values()) {
      if (!sub.sound || sub.epoch !== epoch) continue;
      sub.onEvent?.({
        type: "sound", stream: sub.stream, kind: v.getUint8(0) === 2 ? "voice" : "mix", begins: v.getUint8(1) === 1,
        duration_us: v.getUint32(4, true), epoch, at_us: Number(v.getBigInt64(16, true)), data: new Uint8Array(buffer, 24),
      });
    }
  }

  #take(m) {
    if (m.type === "hello") return this.#tell("hello", m);
    if (m.type === "error") {
      const sub = this.#refs.get(m.ref);
      this.#refs.delete(m.ref);
      // The stream is not there (yet, or not yet again): ask once more in a while.
      if (sub && !sub.done && m.code === "not_found") setTimeout(() => this.#subscriptions.get(sub.stream) === sub && this.#ask(sub), 2000);
      if (sub && this.#subscriptions.get(sub.stream) === sub) sub.onEvent?.(m);
      return this.#tell("error", m);
    }
    if (m.type === "subscribed") this.#refs.delete(m.ref);
    const sub = this.#subscriptions.get(m.stream);
    if (!sub) return;
    if (m.type === "subscribed") sub.epoch = m.epoch;
    if (m.seq !== undefined && m.type !== "subscribed") sub.key = { epoch: m.epoch, seq: m.seq };
    sub.onEvent?.(m);
  }
}

// Where no space stands: between two Chinese or Japanese characters (\n is the joint), nor beside their punctuation.
const MARK = "[\\u3001-\\u3004\\u3006\\u3008-\\u303f\\u30fb\\ufe10-\\ufe6f\\uff01-\\uff0f\\uff1a-\\uff20\\uff3b-\\uff40\\uff5b-\\uff65]";
const HAN = "\\p{sc=Han}\\p{sc=Hiragana}\\p{sc=Katakana}", SHARED = "\\u00b7\\u2014\\u2018\\u2019\\u201c\\u201d\\u2026";
const CLOSES = new RegExp(`^(?![\\u3008\\u300a\\u300c\\u300e\\u3010\\u3014\\u3016\\u3018\\u301a\\uff08\\uff3b\\uff5b\\uff5f])${MARK}`, "u");
const SOLID = new RegExp(`${MARK}\\n|\\n${MARK}|[${HAN}]\\n[${HAN}${SHARED}]|[${SHARED}]\\n[${HAN}]`, "u");

/** The words of text events, or strings, as one text. */
export function joined(words) {
  return words.map((w) => w.text ?? w)
    .reduce((text, word) => text + (!text || !word || SOLID.test(`${text.slice(-2)}\n${word}`) ? "" : " ") + word, "");
}

/** May a line begin with this word? */
export const beginsLine = (word) => !CLOSES.test(word);
