// SPDX-License-Identifier: Apache-2.0
const TYPES = ["audio/webm;codecs=opus", "audio/ogg;codecs=opus", "audio/mp4"];

/** The browser's microphone as a stream of its own. */
export class Microphone {
  #recorder = null;

  static get there() { return !!(navigator.mediaDevices?.getUserMedia && globalThis.MediaRecorder); }

  get on() { return !!this.#recorder; }

  /** Resolves to the stream's id. over(error) is called when it has ended; error: why, unless it was stopped. */
  async start(client, over) {
    const media = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
    const free = () => media.getTracks().forEach((t) => t.stop());
    try {
      const push = await client.push({ format: "container", live: true });
      const recorder = new MediaRecorder(media, { mimeType: TYPES.find((t) => MediaRecorder.isTypeSupported(t)), audioBitsPerSecond: 48000 });
      this.#recorder = recorder;
      let error = null;
      recorder.ondataavailable = (e) => push.send(e.data);
      recorder.onstop = () => {
        this.#recorder = null;
        free();
        push.finish();
        over(error);
      };
      push.done.catch((e) => { error = e; this.stop(); });
      recorder.start(100);
      return push.stream;
    } catch (e) {
      free();
      throw e;
    }
  }

  stop() {
    if (this.#recorder?.state === "recording") this.#recorder.stop();
  }
}
