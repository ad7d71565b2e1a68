// The native protocol (docs/protocol.md): one session over a WebSocket that reconnects by itself, and
// that goes to a replica's own address where the server offers one.

import { DirectAddresses, RESUME_MS } from "./direct.js";
import { Ledger } from "./ledger.js";

const RETRY_FIRST_MS = 250;
const RETRY_LONGEST_MS = 8000;
const PING_AT_REST_MS = 20_000;
const PING_SOON_MS = 1000; // delay after traffic in either direction; a ping acknowledges
const PING_AT_BYTES = 128 * 1024;
const PONG_WITHIN_MS = 5000;
const OPEN_WITHIN_MS = 15_000; // until the session is there
const NONE = { code: "", message: "" };
const GOODBYES = [1000, 1001, 1008]; // the server has ended the session

const FOREIGN = "Something that is not Duplex TTS answers";

/** A message: its JSON header, and of a binary one its audio (an ArrayBuffer). Throws for anything else. */
function decode(data) {
  const message = typeof data === "string" ? { header: JSON.parse(data) } : decodeAudio(data);
  if (typeof message.header?.type !== "string") throw new TypeError("no message of the protocol");
  return message;
}

function decodeAudio(buffer) {
  const size = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
  // Copied: samples may begin at an odd byte, which an Int16Array cannot.
  return { header, audio: buffer.slice(4 + size) };
}

/**
 * Events: `ready` (a new session, with no state of an earlier one), `resumed` (the session
 * continues without loss), `message` (detail: {header, audio?}), `lost` (detail: {why, code, message}, a
 * readable text, and the server's own code and message or empty; it reconnects by itself), `locked` (detail: {wrong}; the server demands an API
 * key, `wrong` if the present key was refused; waits for `open` with another key).
 */
export class Connection extends EventTarget {
  #url;
  #key = "";
  #socket = null;
  #ledger = null; // of the current session
  #fresh = null; // of the session used if the current session cannot be resumed
  #refusal = NONE; // an error of the whole connection
  #Socket; // the constructor of sockets
  #wakers = null; // ends what hears of a network or a person that is back
  #direct;
  #offer = null; // of a replica's own address, the latest
  #address = ""; // a replica's own, of the socket; empty: the server's
  #former = ""; // the same, of the last socket that had the session
  #late = 0; // timer: the session has to be there within it
  #failures = 0;
  #retry = 0;
  #ping = 0;
  #pingAt = Infinity;
  #pong = 0;
  #unacknowledged = 0; // bytes
  ready = false;
  greeting = null; // the latest `ready`: the server's defaults

  /** `url`: of the WebSocket. `Socket`: the constructor, where the platform has none. */
  constructor(url, Socket = globalThis.WebSocket) {
    super();
    this.#url = url;
    this.#Socket = Socket;
    this.#direct = new DirectAddresses(url, Socket);
  }

  /** Connect; `key`: an API key, if the server demands one. */
  open(key = this.#key) {
    clearTimeout(this.#retry);
    this.#retry = 0;
    this.#key = key;
    this.#refusal = NONE;
    this.#listen();
    const parameters = key ? { key } : {};
    const former = this.#ledger ? this.#former : "";
    this.#former = ""; // tried once
    const replica = former && this.#direct.connect(former, parameters);
    if (replica) return this.#use(replica, former);
    const url = new URL(this.#url);
    const hints = this.#ledger ? { direct: 1, resume: 1 } : { direct: 1 };
    for (const [name, value] of Object.entries({ ...parameters, ...hints })) {
      url.searchParams.set(name, value);
    }
    this.#use(new this.#Socket(url));
  }

  /** `address`: a replica's own, which has to resume the session soon. */
  #use(socket, address = "") {
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#address = address;
    const withinMs = address ? RESUME_MS : OPEN_WITHIN_MS;
    this.#late = setTimeout(() => this.#drop(), withinMs);
    const current = (act) => (event) => socket === this.#socket && act(event);
    let opened = socket.readyState === 1;
    socket.onopen = current(() => {
      opened = true;
      if (this.#ledger) this.#write(this.#ledger.resumption);
    });
    socket.onmessage = current(({ data }) => this.#received(data));
    socket.onclose = current(({ code }) => this.#closed(code));
    // `close` follows, but for a failed handshake in Node, which tells what failed.
    socket.onerror = current(({ message }) => opened || this.#closed(0, unreachable(message)));
  }

  /** Move the session to a replica's own address, over an open socket. */
  #move(socket, address) {
    const former = this.#socket;
    if (!this.ready || this.#address) return socket.close();
    this.#stop();
    this.#use(socket, address);
    former.close(); // without a code the server keeps the session
    this.#write(this.#ledger.resumption);
  }

  /** Give up the socket without waiting for its closing handshake. */
  #drop(why) {
    const socket = this.#socket;
    this.#closed(0, why);
    socket.close();
  }

  /** End the session and close the connection. */
  close() {
    this.#socket?.close(1000);
    this.#socket = null;
    this.#wakers?.abort();
    this.#wakers = null;
    this.#ledger = null;
    this.#stop();
  }

  /** Send a message, later if the session is disconnected; false if there is no session. */
  send(message) {
    if (!this.#ledger) return false;
    const text = JSON.stringify(message);
    this.#ledger.sent(message, text);
    if (this.ready) {
      this.#socket.send(text);
      this.#pingIn(PING_SOON_MS);
    }
    return true;
  }

  // --- receiving ------------------------------------------------------------------------------

  #received(data) {
    let message;
    try {
      message = decode(data);
    } catch {
      return this.#drop(FOREIGN);
    }
    this.#process(message, data);
  }

  #process({ header, audio }, data) {
    if (header.type === "ready") return this.#greeted(header);
    if (!this.ready && !this.#fresh && header.type !== "error") return this.#drop(FOREIGN);
    if (header.type === "pong") return this.#answered(header);
    if (header.type === "error" && !header.context) this.#concerned(header);
    if (!this.ready) return;
    this.#ledger.received(header);
    this.#acknowledge(data);
    if (header.code !== "resume_failed") this.#tell("message", { header, audio });
  }

  #greeted(header) {
    this.greeting = header;
    this.#offer = header.direct;
    if (!this.#ledger) {
      this.#ledger = new Ledger(header);
      this.#begin("ready");
    } else if (header.session === this.#ledger.session) {
      this.#ledger.confirm(header.received);
      for (const text of this.#ledger.unconfirmed) this.#socket.send(text);
      this.#begin("resumed");
    } else {
      this.#fresh = new Ledger(header);
    }
  }

  /** An error that belongs to no context. */
  #concerned(error) {
    if (error.code !== "resume_failed") this.#refusal = error;
    else if (this.#fresh) this.#startAfresh();
  }

  /** The session cannot be resumed. */
  #startAfresh() {
    this.#former = "";
    this.#ledger = this.#fresh;
    this.#begin("ready");
  }

  #begin(type) {
    this.#fresh = null;
    this.#failures = 0;
    this.ready = true;
    clearTimeout(this.#late);
    this.#former = this.#address;
    this.#pingIn(PING_SOON_MS);
    this.#tell(type);
    if (!this.#offer || this.#address) return;
    const { url } = this.#offer;
    this.#direct.approach(this.#offer, (socket) => this.#move(socket, url));
  }

  // --- keepalive ------------------------------------------------------------------------------

  #acknowledge(data) {
    this.#unacknowledged += data.byteLength ?? data.length;
    if (this.#unacknowledged > PING_AT_BYTES) this.#check();
    else this.#pingIn(PING_SOON_MS);
  }

  #pingIn(ms) {
    const at = performance.now() + ms;
    if (at >= this.#pingAt) return;
    clearTimeout(this.#ping);
    this.#pingAt = at;
    this.#ping = setTimeout(() => this.#check(), ms);
  }

  /** Detect a dead network: ping, and disconnect without an answer. */
  #check() {
    this.#write({ type: "ping", ...this.#ledger.acknowledgement });
    this.#unacknowledged = 0;
    this.#pong ||= setTimeout(() => this.#drop(), PONG_WITHIN_MS);
    this.#pingAt = Infinity;
    this.#pingIn(PING_AT_REST_MS);
  }

  #answered({ received }) {
    clearTimeout(this.#pong);
    this.#pong = 0;
    this.#ledger.confirm(received);
  }

  #write(message) {
    this.#socket.send(JSON.stringify(message));
  }

  // --- reconnecting ---------------------------------------------------------------------------

  #closed(code, why) {
    const unproved = this.ready ? "" : this.#address;
    this.#socket = null;
    this.#stop();
    if (unproved) {
      this.#direct.avoid(unproved);
      return this.open();
    }
    if (GOODBYES.includes(code)) this.#ledger = null;
    const refusal = this.#refusal;
    if (refusal.code === "invalid_api_key") return this.#tell("locked", { wrong: this.#key !== "" });
    const wait = Math.min(RETRY_FIRST_MS * 2 ** this.#failures++, RETRY_LONGEST_MS);
    this.#retry = setTimeout(() => this.open(), wait * (0.75 + Math.random() / 2));
    this.#tell("lost", { why: why ?? reason(code, refusal.code), ...refusal });
  }

  #stop() {
    clearTimeout(this.#retry);
    clearTimeout(this.#ping);
    clearTimeout(this.#pong);
    clearTimeout(this.#late);
    this.#retry = this.#pong = this.#unacknowledged = 0;
    this.#pingAt = Infinity;
    this.#fresh = null;
    this.ready = false;
  }

  #hurry() {
    if (this.#retry) this.open();
  }

  /** In browsers: connect again as soon as there is a network, or the page is looked at. */
  #listen() {
    if (this.#wakers || !globalThis.document) return;
    this.#wakers = new AbortController();
    const { signal } = this.#wakers;
    addEventListener("online", () => this.#hurry(), { signal });
    const seen = () => document.hidden || this.#hurry();
    document.addEventListener("visibilitychange", seen, { signal });
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** `problem`: the platform's words for it, if it has any. */
function unreachable(problem) {
  return `The server cannot be reached${problem ? ` (${problem})` : ""}`;
}

function reason(code, refusal) {
  if (refusal === "overloaded") return "The server is busy";
  if (refusal === "session_ended") return "Whoever runs the server has ended this connection";
  if (code === 1001) return "The server is shutting down";
  return unreachable();
}
