// A session with the server that lasts a whole call: one connection carries all utterances. When it
// breaks it is reopened, and the session resumed without a repeated or missing sample.

import { DEFAULT_URL, websocketUrl } from "./address.js";
import { Connection } from "./connection.js";
import { ContextTable } from "./context_table.js";
import { ClientError, ConnectionLost, Refused } from "./errors.js";
import { startFields } from "./parameters.js";
import { Utterance } from "./utterance.js";

const PLAIN = [undefined, "pcm_s16le"];
const GIVE_UP_MS = 60_000;
const FATAL = ["session_ended", "key_limit"]; // trying again would not help
const OF_UTTERANCES = [
  "audio", "sound", "spoken", "retracted", "replaced", "finished", "unspoken", "refused",
];
const NO_WEBSOCKET =
  "this platform has no WebSocket: use Node 22, or `npm install ws` and " +
  "`Session.connect(url, {WebSocket: (await import('ws')).default})`";

let sessions = 0;

/**
 * See `connect`. Events: `lost` (detail: {why, code}; it reconnects by itself), `resumed` (nothing was
 * lost), `restarted` (the server had lost the session: unheard text is sent again), `advice` (detail:
 * {code, message, format, bitRate}: the line is too thin), `problem` (detail: {error}, of no
 * utterance), `closed` (detail: {error} or null).
 */
export class Session extends EventTarget {
  #url;
  #connection;
  #table;
  #mostInFlight;
  #giveUpMs;
  #lexicon;
  #utterances = new Set(); // not finished, in the order of `speak`
  #compressed = false; // the line is thin: what is played comes as Opus
  #giveUp = 0;
  #filling = false;
  #closed = null; // an error

  /** Use `connect`. */
  constructor(url, { key = "", WebSocket = globalThis.WebSocket, ...options } = {}) {
    super();
    if (!WebSocket) throw new ClientError("no_websocket", NO_WEBSOCKET);
    this.#url = websocketUrl(url);
    this.#mostInFlight = options.maxInFlight ?? 2;
    this.#giveUpMs = options.giveUpMs ?? GIVE_UP_MS;
    this.#lexicon = options.lexicon;
    this.#connection = new Connection(this.#url, WebSocket);
    this.#table = new ContextTable(this.#connection, `js-${++sessions}`);
    this.#listen();
    this.#connection.open((key ?? "").trim());
  }

  /**
   * Open a session. Early is best: the first utterance then needs no handshake. Rejects with `BadAddress`,
   * `ConnectionLost` if no server answers, and `Refused` if it is full or the key is wrong.
   */
  static async connect(url = DEFAULT_URL, options = {}) {
    const session = new Session(url, options);
    await session.#opened();
    return session;
  }

  /** The server's defaults. */
  get ready() {
    const { session, voice, format, sample_rate: sampleRate } = this.#connection.greeting;
    return { session, voice, format, sampleRate };
  }

  /**
   * Speak a text; returns at once. `text`: a string, or an iterable or async iterable of strings or of a language
   * model's chunks, also while it is written. Without it the utterance is written with `append` and
   * `end`. Throws `TypeError` for anything else and for an unknown parameter, `ConnectionLost` when
   * the session is closed.
   */
  speak(text, parameters = {}) {
    if (this.#closed) throw this.#closed;
    const { sample_rate: rate, ...fields } = startFields(parameters);
    const lexicon = { ...this.#lexicon, ...fields.lexicon };
    if (Object.keys(lexicon).length > 0) fields.lexicon = lexicon;
    const isPlain = PLAIN.includes(fields.format);
    if (!isPlain && rate) fields.sample_rate = rate;
    const options = { parameters: fields, rateHz: isPlain ? rate : null };
    const utterance = new Utterance(this.#table, options, () => this.#fillSoon());
    if (text !== undefined) utterance.write(text);
    this.#utterances.add(utterance);
    this.#fillSoon();
    return utterance;
  }

  /** Cancel all utterances, spoken or queued. */
  cancel() {
    for (const utterance of [...this.#utterances]) utterance.cancel();
  }

  /** Close the connection; utterances in flight fail. */
  close() {
    this.#close(new ConnectionLost("the session is closed"), null);
  }

  // --- the connection -------------------------------------------------------------------------

  #listen() {
    for (const type of OF_UTTERANCES) {
      this.#table.addEventListener(type, ({ detail }) => detail.context.owner.process(type, detail));
    }
    this.#table.addEventListener("advice", ({ detail }) => this.#advised(detail));
    this.#table.addEventListener("undecodable", () => (this.#compressed = false));
    this.#table.addEventListener("problem", ({ detail }) => this.#tell("problem", detail));
    this.#table.addEventListener("resumed", () => this.#back("resumed"));
    this.#table.addEventListener("restarted", () => this.#back("restarted"));
    this.#connection.addEventListener("lost", ({ detail }) => this.#lost(detail));
    this.#connection.addEventListener("locked", ({ detail }) => this.#locked(detail));
  }

  /** Resolves with the first `ready`; rejects if the connection cannot be opened. */
  #opened() {
    const first = new AbortController();
    const once = { once: true, signal: first.signal };
    const opened = new Promise((resolve, reject) => {
      const refuse = ({ detail: { code, message, retry_after_ms: ms, why } }) => {
        const error = code ? new Refused(code, message, ms) : this.#noServer(why);
        this.#close(error);
        reject(error);
      };
      this.#connection.addEventListener("ready", resolve, once);
      this.#connection.addEventListener("lost", refuse, once);
      this.addEventListener("closed", ({ detail }) => reject(detail.error), once);
    });
    return opened.finally(() => first.abort());
  }

  #noServer(why) {
    const other = globalThis.document ? "; a page of another site must be in its `access.allowed_origins`" : "";
    const { origin, pathname } = this.#url;
    return new ConnectionLost(`${why} at ${origin}${pathname}: start it with \`duplex-tts serve\`${other}`);
  }

  #lost({ why, code, message }) {
    if (FATAL.includes(code)) return this.#close(new Refused(code, message));
    this.#giveUp ||= setTimeout(() => this.#close(this.#noServer(why)), this.#giveUpMs);
    this.#tell("lost", { why, code });
  }

  #locked({ wrong }) {
    const help = wrong ? "this API key is not one of the server's" : "the server requires an API key";
    this.#close(new Refused("invalid_api_key", `${help}: pass {key} (\`duplex-tts key\` creates one)`));
  }

  #back(type) {
    clearTimeout(this.#giveUp);
    this.#giveUp = 0;
    this.#tell(type);
  }

  #close(error, reported = error) {
    if (this.#closed) return;
    this.#closed = error;
    clearTimeout(this.#giveUp);
    for (const utterance of [...this.#utterances]) utterance.fail(error);
    this.#connection.close();
    this.#tell("closed", { error: reported });
  }

  // --- utterances -----------------------------------------------------------------------------

  /** Begin utterances soon: the player may still say at which rate it plays them. */
  #fillSoon() {
    if (this.#filling) return;
    this.#filling = true;
    queueMicrotask(() => this.#fill());
  }

  /** Begin the next utterances, two at once; one whose reader is slow does not count. */
  #fill() {
    this.#filling = false;
    for (const one of this.#utterances) if (one.finished) this.#utterances.delete(one);
    const all = [...this.#utterances];
    let room = this.#mostInFlight - all.filter(({ begun, held }) => begun && !held).length;
    for (const utterance of all.filter(({ begun }) => !begun)) {
      if (room-- <= 0) return;
      utterance.begin({ rateHz: this.ready.sampleRate, compressed: this.#compressed });
    }
  }

  /** The line is too thin: what is played comes compressed; what is read is the application's. */
  async #advised({ code, message, format, bit_rate: bitRate }) {
    this.#tell("advice", { code, message, format, bitRate });
    const played = [...this.#utterances].filter(({ playback }) => playback);
    if (this.#compressed || played.length === 0) return;
    const contexts = played.filter(({ begun }) => begun).map(({ context }) => context);
    this.#compressed = await this.#table.compress(contexts);
  }

  #tell(type, detail = null) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
