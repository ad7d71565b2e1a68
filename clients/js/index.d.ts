// The types of the package; what each does stands beside the sources.

export const DEFAULT_URL: string;

/** How an utterance is spoken; see docs/protocol.md. */
export interface Parameters {
  /** A name from `GET /v1/voices`. */
  voice?: string;
  /** Default `pcm_s16le`; other formats come as bytes in `data`. */
  format?:
    | "pcm_s16le" | "pcm_f32le" | "mulaw" | "alaw" | "wav" | "wav_f32le" | "wav_mulaw" | "wav_alaw"
    | "flac" | "opus" | "mp3" | "aac";
  /** 8000 to 48000 Hz. A player asks for the rate of the audio device by itself. */
  sampleRate?: number;
  bitRate?: number | "auto";
  /** 0.5 to 2. */
  speed?: number;
  /** 0 to 2. */
  volume?: number;
  seed?: number;
  language?: string;
  mode?: "live" | "stream" | "batch";
  /** How much of an unfinished sentence is spoken at a time. */
  typing?: "auto" | "word" | "phrase" | "sentence";
  priority?: "interactive" | "normal" | "background";
  /** How words are said: `{Nguyen: "win"}`. */
  lexicon?: Record<string, string>;
  dictionaries?: string[];
  ssml?: boolean;
  exaggeration?: number;
  cfgWeight?: number;
  temperature?: number;
  topP?: number;
  minP?: number;
  repetitionPenalty?: number;
  noiseScale?: number;
  noiseW?: number;
}

/** A piece of text, or a chunk of a language model's stream (OpenAI's, Anthropic's, the AI SDK's). */
export type Piece = string | null | undefined | { choices: readonly unknown[] } | { type: string };

export type TextSource = string | Iterable<Piece> | AsyncIterable<Piece> | ReadableStream<Piece>;

/** Positions are UTF-16 units of the utterance's text, times are milliseconds of its audio. */
export interface Word {
  from: number;
  to: number;
  text: string;
  startMs: number;
  endMs: number;
}

export interface Audio {
  /** The text that it speaks. */
  from: number;
  to: number;
  text: string;
  /** As sent. */
  data: Uint8Array<ArrayBuffer>;
  /** Of `pcm_s16le`, mono; null for other formats. */
  samples: Int16Array<ArrayBuffer> | null;
  sampleRate: number | null;
  startMs: number;
  durationMs: number;
  words: Word[];
}

export interface End {
  cancelled: boolean;
  /** How far the text was spoken. */
  textTo: number;
  audioMs: number;
  chunks: number;
}

export interface ServerError {
  code: string;
  message: string;
}

/** What `new WebSocket(url)` creates: a browser's, Node's own or that of the package `ws`. */
export type WebSocketConstructor = new (url: URL) => object;

export interface SessionOptions {
  /** The server's API key, if it requires one. */
  key?: string | null;
  /** Default: the platform's. In Node before 22: that of the package `ws`. */
  WebSocket?: WebSocketConstructor;
  /** Utterances that are spoken at once; default 2. */
  maxInFlight?: number;
  /** Without a connection for so long the session fails; default 60,000. */
  giveUpMs?: number;
  /** For all utterances of the session. */
  lexicon?: Record<string, string>;
}

export interface SessionEvents {
  /** The connection broke; it is reopened by itself. */
  lost: CustomEvent<{ why: string; code: string }>;
  /** It is back, and nothing was lost. */
  resumed: CustomEvent<null>;
  /** It is back, but the server had lost the session: unheard text is sent again. */
  restarted: CustomEvent<null>;
  /** The line is too thin for the format. */
  advice: CustomEvent<{ code: string; message: string; format: string; bitRate: number | "auto" }>;
  /** An error of no utterance. */
  problem: CustomEvent<{ error: ServerError }>;
  /** `error`: null after `close`. */
  closed: CustomEvent<{ error: ClientError | null }>;
}

/** A session with the server that lasts a whole call. */
export class Session extends EventTarget {
  private constructor();
  /** Rejects with `BadAddress`, `ConnectionLost` or `Refused`. */
  static connect(url?: string | URL, options?: SessionOptions): Promise<Session>;
  /** The server's defaults. */
  readonly ready: { session: string; voice: string; format: string; sampleRate: number };
  /** Speak a text, also while it is written. Without `text`: write it by `append` and `end`. */
  speak(text?: TextSource, parameters?: Parameters): Utterance;
  /** Cancel all utterances. */
  cancel(): void;
  close(): void;
  addEventListener<Type extends keyof SessionEvents>(
    type: Type,
    listener: (event: SessionEvents[Type]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
}

/** One spoken text. Iterate it, once, for its audio; leaving the loop early cancels it. */
export class Utterance implements AsyncIterable<Audio> {
  private constructor();
  /** All of its text so far. */
  readonly text: string;
  readonly words: readonly Word[];
  /** Sentences that could not be spoken. */
  readonly errors: readonly ServerError[];
  /** Where speech went on after the server had lost the session. */
  readonly restarts: readonly { textTo: number; audioMs: number }[];
  readonly audioMs: number;
  /** From the first text to the first audio received. */
  readonly ttfaMs: number | null;
  readonly cancelled: boolean;
  readonly finished: boolean;
  append(piece: string): void;
  /** Take back the text from `position` on. Resolves with the position from which that was possible. */
  retract(position: number): Promise<number>;
  /** Make the text `text`, as a text field has it; what is spoken stays. */
  update(text: string): void;
  /** Have all text so far spoken without waiting for more. */
  flush(): void;
  /** No more text will follow. */
  end(): void;
  /** Drop what is not heard, at once. */
  cancel(): void;
  /** Report how much was heard, for the server's pacing; a `Player` does this. */
  played(ms: number): void;
  /** All audio was received. Rejects with `SpeechFailed`, `ConnectionLost`, `ProtocolError`. */
  done(): Promise<End>;
  [Symbol.asyncIterator](): AsyncGenerator<Audio, void, void>;
}

/** An utterance that is played. */
export interface Playback {
  readonly utterance: Utterance;
  readonly heardMs: number;
  /** The text up to the last word that was heard or begun. */
  readonly heardText: string;
  /** It was heard to its end, or silenced: `cancelled`, also if all of it had been received. */
  done(): Promise<{ cancelled: boolean; heardMs: number; heardText: string }>;
}

export interface PlayerEvents {
  /** Once a frame, while something is heard. */
  tick: CustomEvent<null>;
  /** Nothing is left to be heard. */
  rest: CustomEvent<null>;
}

/** Plays utterances in a browser, one after the other, without gaps. */
export class Player extends EventTarget {
  /** Why sound cannot be played here, or null. */
  static readonly obstacle: string | null;
  /** The rate of the audio device in Hz. */
  readonly rate: number;
  readonly sounding: boolean;
  paused: boolean;
  play(utterance: Utterance, options?: { onWord?: (word: Word) => void }): Playback;
  /** Silence at once; all that is played or waits is cancelled. */
  stop(): void;
  /** Prepare playback; in a click or key handler, so that the browser allows sound. */
  wake(): Promise<void>;
  close(): void;
  addEventListener<Type extends keyof PlayerEvents>(
    type: Type,
    listener: (event: PlayerEvents[Type]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
}

export class ClientError extends Error {
  constructor(code: string, message: string, options?: ErrorOptions);
  readonly code: string;
}
export class BadAddress extends ClientError {
  constructor(message: string);
}
export class ConnectionLost extends ClientError {
  constructor(message: string);
}
export class Refused extends ClientError {
  constructor(code: string, message: string, retryAfterMs?: number | null);
  /** When to try again, if the server says. */
  readonly retryAfterMs: number | null;
}
export class SpeechFailed extends ClientError {
  constructor(message: string, errors: readonly ServerError[]);
  readonly errors: readonly ServerError[];
}
export class ProtocolError extends ClientError {
  constructor(message: string);
}
export class CannotPlay extends ClientError {
  constructor(message: string);
}

/** A WAV file (mono, 16 bit). */
export function wav(chunks: readonly Int16Array<ArrayBuffer>[], rateHz: number): Blob;
