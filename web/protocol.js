// The native protocol (docs/protocol.md): one WebSocket that comes back by itself.

const RETRY_FIRST_MS = 250;
const RETRY_LONGEST_MS = 8000;
const PING_EVERY_MS = 20_000;
const PONG_WITHIN_MS = 10_000;
const TRY_LATER = 1013;
const GOING_AWAY = 1001;

/** A binary message: its JSON header, and its samples as 16-bit integers. */
export function decodeAudio(buffer) {
  const size = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
  // A copy: the samples may begin at an odd byte, which an Int16Array cannot.
  return { header, samples: new Int16Array(buffer.slice(4 + size)) };
}

/**
 * Events: `ready` (detail: the server's greeting), `message` (detail: {header, samples?}),
 * `lost` (detail: {why}, in words; it tries again by itself).
 */
export class Connection extends EventTarget {
  #url;
  #socket = null;
  #failures = 0;
  #retry = 0;
  #ping = 0;
  #pong = 0;
  ready = false;

  constructor(url) {
    super();
    this.#url = url;
    addEventListener("online", () => this.#hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.#hurry());
  }

  open() {
    clearTimeout(this.#retry);
    const socket = new WebSocket(this.#url);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    socket.onmessage = ({ data }) => socket === this.#socket && this.#received(data);
    socket.onclose = ({ code }) => socket === this.#socket && this.#closed(code);
  }

  /** Send a message; false when there is no connection. */
  send(message) {
    if (!this.ready) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  #received(data) {
    if (typeof data !== "string") return this.#tell("message", decodeAudio(data));
    const header = JSON.parse(data);
    if (header.type === "pong") return clearTimeout(this.#pong);
    if (header.type !== "ready") return this.#tell("message", { header });
    this.ready = true;
    this.#failures = 0;
    this.#ping = setInterval(() => this.#check(), PING_EVERY_MS);
    this.#tell("ready", header);
  }

  /** A dead network says nothing: ask, and hang up when there is no answer. */
  #check() {
    this.send({ type: "ping" });
    clearTimeout(this.#pong);
    this.#pong = setTimeout(() => {
      const socket = this.#socket;
      this.#closed(0);
      socket.close();
    }, PONG_WITHIN_MS);
  }

  #closed(code) {
    clearInterval(this.#ping);
    clearTimeout(this.#pong);
    this.ready = false;
    this.#socket = null;
    const wait = Math.min(RETRY_FIRST_MS * 2 ** this.#failures++, RETRY_LONGEST_MS);
    this.#retry = setTimeout(() => this.open(), wait * (0.75 + Math.random() / 2));
    this.#tell("lost", { why: reason(code) });
  }

  #hurry() {
    if (!this.#socket) this.open();
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function reason(code) {
  if (code === TRY_LATER) return "The server is busy";
  if (code === GOING_AWAY) return "The server is shutting down";
  return "The server cannot be reached";
}
