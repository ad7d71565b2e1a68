// Shared by the tests: a session with the server under test, and what was heard of an utterance.

import assert from "node:assert/strict";

import { Session } from "duplex-tts";

export const SERVER = process.env.DUPLEX_TTS_URL;

/** The platform's WebSocket, or that of `ws`, whichever is under test. */
export const Socket = process.env.TEST_WEBSOCKET === "own" ? globalThis.WebSocket : (await import("ws")).default;

/** A session that is closed after the test `t`. */
export async function connect(t, url = SERVER, options = {}) {
  const session = await Session.connect(url, { WebSocket: Socket, ...options });
  t.after(() => session.close());
  return session;
}

export async function read(utterance) {
  const heard = [];
  for await (const audio of utterance) heard.push(audio);
  return heard;
}

export function samplesOf(heard) {
  return heard.flatMap(({ samples }) => [...samples]);
}

/** Every character is spoken once, in order, and times have no gaps. */
export function assertTiles(heard, text) {
  let [at, atMs] = [0, 0];
  for (const audio of heard) {
    assert.equal(audio.from, at);
    assert.ok(Math.abs(audio.startMs - atMs) < 1, `${audio.startMs} follows ${atMs}`);
    assert.equal(audio.text, text.slice(audio.from, audio.to));
    [at, atMs] = [audio.to, audio.startMs + audio.durationMs];
  }
  assert.equal(at, text.length);
}

/** The event's detail, when it comes. */
export function next(target, type) {
  return new Promise((resolve) => {
    target.addEventListener(type, ({ detail }) => resolve(detail), { once: true });
  });
}
