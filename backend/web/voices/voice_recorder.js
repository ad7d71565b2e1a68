// Creates a custom voice: uploads a recording or an audio file to the server under a name.
// Recording and file formats vary: the server always receives a plain WAV.

import { keyHeaders } from "../shared/key.js";
import { wav } from "../client/wav.js";

const RATE_HZ = 24_000; // engines use no more than that
const SHORTEST_S = 5;
const LONGEST_S = 30;
const LARGEST_BYTES = 100e6; // decoded here, in memory
const AS_IT_IS = { echoCancellation: false, noiseSuppression: false }; // both alter a voice

/** Events: `listening` (the microphone is open), `added` (detail: the voice's name). */
export class NewVoice extends EventTarget {
  #parts;
  #recorder = null;
  #clock = 0;
  #sample = null; // a WAV, as a Blob

  /** `parts`: elements `drop`, `record`, `file`, `status`, `preview`, `form`, `name`, `add`. */
  constructor(parts) {
    super();
    this.#parts = parts;
    parts.record.addEventListener("click", () => (this.#recorder ? this.stop() : this.#record()));
    parts.file.addEventListener("change", () => this.#take(parts.file.files[0]));
    parts.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.#acceptDrops(parts.drop);
  }

  stop() {
    this.#recorder?.stop();
  }

  #acceptDrops(area) {
    area.addEventListener("dragover", (event) => {
      event.preventDefault();
      area.dataset.over = "";
    });
    area.addEventListener("dragleave", () => delete area.dataset.over);
    area.addEventListener("drop", (event) => {
      event.preventDefault();
      delete area.dataset.over;
      this.#take(event.dataTransfer.files[0]);
    });
  }

  // --- recording ------------------------------------------------------------------------------

  async #record() {
    if (!navigator.mediaDevices) return this.#say(NOT_SECURE);
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: AS_IT_IS });
    } catch (error) {
      return this.#say(NO_MICROPHONE[error.name] ?? `The microphone does not work: ${error.message}`);
    }
    const pieces = [];
    this.#recorder = new MediaRecorder(stream);
    this.#recorder.ondataavailable = ({ data }) => pieces.push(data);
    this.#recorder.onstop = () => {
      for (const track of stream.getTracks()) track.stop();
      this.#recorded(new Blob(pieces));
    };
    this.#recorder.start();
    this.#say("");
    this.dispatchEvent(new Event("listening"));
    this.#count(0);
  }

  /** Show the elapsed time on a button: a status would be read out at every change. */
  #count(seconds) {
    if (seconds >= LONGEST_S) return this.stop();
    this.#parts.record.textContent = `Stop (${seconds} s)`;
    this.#clock = setTimeout(() => this.#count(seconds + 1), 1000);
  }

  #recorded(recording) {
    clearTimeout(this.#clock);
    this.#recorder = null;
    this.#parts.record.textContent = "Record";
    this.#take(recording);
  }

  // --- recorded, dropped or chosen audio --------------------------------------------------------

  async #take(file) {
    if (!file) return;
    this.#show(null);
    try {
      const { samples, seconds } = await decoded(file);
      this.#show(wav([samples], RATE_HZ));
      this.#say(seconds > LONGEST_S ? `The first ${LONGEST_S} seconds of it are used.` : "");
      this.#parts.name.focus();
    } catch (error) {
      this.#say(error.message);
    }
    this.#parts.file.value = ""; // the same file may be chosen again
  }

  #show(sample) {
    const { preview, add } = this.#parts;
    if (preview.src) URL.revokeObjectURL(preview.src);
    this.#sample = sample;
    preview.hidden = add.disabled = !sample;
    if (sample) preview.src = URL.createObjectURL(sample);
    else preview.removeAttribute("src");
  }

  async #send() {
    const { name, add } = this.#parts;
    const called = name.value.trim().replace(/\s+/g, "-"); // servers want names without spaces
    const form = new FormData();
    form.append("name", called);
    form.append("audio", this.#sample, "voice.wav");
    add.disabled = true;
    this.#say("The server is learning the voice…");
    try {
      const answer = await fetch("v1/voices", { method: "POST", body: form, headers: keyHeaders() });
      if (!answer.ok) throw new Error(await complaint(answer));
      const { warnings = [] } = await answer.json().catch(() => ({}));
      this.#say([`${called} can speak now.`, ...warnings.map((text) => `But: ${text}.`)].join(" "));
      this.#show(null);
      name.value = "";
      this.dispatchEvent(new CustomEvent("added", { detail: called }));
    } catch (error) {
      add.disabled = false; // the recording is kept
      this.#say(`The voice was not added: ${error.message}`);
    }
  }

  #say(text) {
    this.#parts.status.textContent = text;
  }
}

const NOT_SECURE =
  "Browsers open the microphone only on https or localhost. An audio file will do, too.";

const NO_MICROPHONE = {
  NotAllowedError: "This browser was not allowed to use the microphone.",
  NotFoundError: "There is no microphone. An audio file will do, too.",
};

/** The audio of a file: {samples (Int16Array, mono, RATE_HZ), seconds (of the whole file)}. */
async function decoded(file) {
  if (file.size > LARGEST_BYTES) throw new Error("This file is too large: 30 seconds are enough.");
  let sound;
  try {
    const decoder = new OfflineAudioContext(1, 1, RATE_HZ);
    sound = await decoder.decodeAudioData(await file.arrayBuffer());
  } catch {
    throw new Error("This is not a sound that this browser can read. WAV and MP3 always are.");
  }
  const seconds = sound.duration;
  if (seconds < SHORTEST_S) {
    throw new Error(`This is too short (${seconds.toFixed(1)} s): at least ${SHORTEST_S} seconds.`);
  }
  return { samples: mono(sound, LONGEST_S * RATE_HZ), seconds };
}

function mono(sound, longest) {
  const channels = Array.from({ length: sound.numberOfChannels }, (_, n) => sound.getChannelData(n));
  const samples = new Int16Array(Math.min(sound.length, longest));
  for (let at = 0; at < samples.length; at++) {
    const sum = channels.reduce((total, channel) => total + channel[at], 0);
    samples[at] = Math.max(-1, Math.min(1, sum / channels.length)) * 32767;
  }
  return samples;
}

/** The server's reason for refusing a request. */
export async function complaint(answer) {
  const { message, detail } = await answer.json().catch(() => ({}));
  return message ?? (typeof detail === "string" ? detail : `the server said ${answer.status}`);
}
