import assert from "node:assert/strict";
import { test } from "node:test";

import { BadAddress, ConnectionLost, Refused, Session, SpeechFailed } from "duplex-tts";

import { relayTo } from "./relay.js";
import { assertTiles, connect, next, read, samplesOf, SERVER, Socket as WebSocket } from "./speaking.js";

const TEXT = "The quick brown fox jumps over the lazy dog. Then it sleeps until the evening comes.";
const SPOKEN = { seed: 7, mode: "batch" }; // the same samples each time
const SPOKEN_LIVE = { seed: 7 };

async function* slowly(pieces) {
  for (const piece of pieces) {
    await new Promise((go) => setTimeout(go, 20));
    yield piece;
  }
}

test("a string is spoken, each character once", async (t) => {
  const session = await connect(t);
  const utterance = session.speak(TEXT);
  const heard = await read(utterance);
  assertTiles(heard, TEXT);
  const end = await utterance.done();
  assert.deepEqual({ ...end, audioMs: 0 }, { cancelled: false, textTo: TEXT.length, audioMs: 0, chunks: heard.length });
  const samples = samplesOf(heard);
  assert.ok(Math.abs((samples.length * 1000) / session.ready.sampleRate - end.audioMs) < 1);
  assert.ok(samples.some((one) => Math.abs(one) > 1000));
  assert.ok(utterance.ttfaMs > 0);
  assert.deepEqual(utterance.words.slice(0, 3).map(({ text }) => text), ["The", "quick", "brown"]);
});

test("offsets are those of JavaScript strings", async (t) => {
  const session = await connect(t);
  const text = "One 😀 two 🚀 three.";
  const utterance = session.speak(text);
  assertTiles(await read(utterance), text);
  assert.deepEqual(utterance.words.map((word) => text.slice(word.from, word.to)), utterance.words.map(({ text }) => text));
  assert.ok(utterance.words.some(({ text }) => text.startsWith("three")));
});

test("a surrogate pair split over two pieces is one character", async (t) => {
  const session = await connect(t);
  const [text, problems] = ["Look 😀 here.", []];
  session.addEventListener("problem", ({ detail }) => problems.push(detail));
  assertTiles(await read(session.speak(slowly([text.slice(0, 6), text.slice(6)]))), text);
  assert.deepEqual(problems, []);
});

test("sources of text: async iterables, a model's chunks, streams", async (t) => {
  const session = await connect(t);
  const chunks = ["Hello ", "there, ", null, "you."].map((content) => ({ choices: [{ delta: { content } }] }));
  const responses = [{ type: "response.created" }, { type: "response.output_text.delta", delta: "Yes." }];
  const sources = [
    [slowly(["How ", "are ", "you?"]), "How are you?"],
    [slowly([...chunks, { choices: [] }]), "Hello there, you."],
    [responses, "Yes."],
    [ReadableStream.from(["A ", "stream."]), "A stream."],
  ];
  for (const [source, text] of sources) {
    const utterance = session.speak(source);
    assertTiles(await read(utterance), text);
  }
});

test("the first sound comes while the text is still written", async (t) => {
  const session = await connect(t);
  let ended = false;
  async function* words() {
    yield* slowly("So this is a text that goes on for a good while until it ends.".split(/(?<= )/));
    while (!heardEarly) await new Promise((go) => setTimeout(go, 10)); // as long as nothing is heard
    ended = true;
  }
  let heardEarly = false;
  for await (const audio of session.speak(words())) heardEarly ||= audio.data.length > 0 && !ended;
  assert.ok(heardEarly);
});

test("a break in mid-word is not heard: no sample is missing or repeated", async (t) => {
  const expected = samplesOf(await read((await connect(t)).speak(TEXT, SPOKEN)));
  const relay = await relayTo(SERVER);
  t.after(relay.close);
  const session = await connect(t, relay.url);
  let resumed = 0;
  session.addEventListener("lost", relay.mend);
  session.addEventListener("resumed", () => resumed++);
  for (const bytes of [1, 999, 20_001, 60_007]) {
    relay.cutAfter(bytes);
    const utterance = session.speak(TEXT, SPOKEN);
    const heard = await read(utterance);
    assertTiles(heard, TEXT);
    assert.deepEqual(samplesOf(heard), expected);
    assert.deepEqual(utterance.restarts, []);
  }
  assert.equal(resumed, 4);
});

test("text written while the connection is away is spoken when it is back", async (t) => {
  const relay = await relayTo(SERVER);
  t.after(relay.close);
  const session = await connect(t, relay.url);
  const utterance = session.speak(undefined, SPOKEN_LIVE);
  utterance.append("Before the break. ");
  const lost = next(session, "lost");
  relay.cut();
  await lost;
  utterance.append("And after it.");
  utterance.end();
  relay.mend();
  assertTiles(await read(utterance), "Before the break. And after it.");
});

test("cancel ends the iteration at once, and nothing follows", async (t) => {
  const session = await connect(t);
  const utterance = session.speak(TEXT.repeat(20));
  let [count, late] = [0, 0];
  for await (const audio of utterance) {
    if (utterance.cancelled) late++;
    count++;
    if (audio.data.length > 0) utterance.cancel();
  }
  const end = await utterance.done();
  assert.ok(end.cancelled && end.textTo < TEXT.length * 20 && count > 0);
  assert.equal(late, 0);
  assertTiles(await read(session.speak("Next.")), "Next."); // the session goes on
});

test("an iteration that is left early cancels", async (t) => {
  const session = await connect(t);
  const utterance = session.speak(TEXT.repeat(20));
  for await (const audio of utterance) if (audio) break;
  assert.equal((await utterance.done()).cancelled, true);
});

test("what is not spoken can be taken back", async (t) => {
  const session = await connect(t);
  const utterance = session.speak();
  utterance.append("I never said that");
  assert.equal(await utterance.retract(8), 8);
  assert.equal(utterance.text, "I never ");
  utterance.append("knew.");
  utterance.end();
  assertTiles(await read(utterance), "I never knew.");
});

test("what is spoken stays when it is taken back", async (t) => {
  const session = await connect(t);
  const utterance = session.speak();
  utterance.append("This is said already. ");
  utterance.flush();
  const audio = utterance[Symbol.asyncIterator]();
  const heard = [(await audio.next()).value];
  const retracting = utterance.retract(0);
  utterance.append("Go on.");
  const kept = await retracting;
  assert.ok(kept >= heard[0].to);
  utterance.end();
  for await (const more of audio) heard.push(more);
  assertTiles(heard, `${"This is said already. ".slice(0, kept)}Go on.`);
  assert.equal(utterance.text, `${"This is said already. ".slice(0, kept)}Go on.`);
});

test("a text field's changes are followed", async (t) => {
  const session = await connect(t);
  const utterance = session.speak();
  for (const text of ["W", "We se", "We see", "We sew", "We sew it."]) utterance.update(text);
  utterance.end();
  assertTiles(await read(utterance), "We sew it.");
});

test("utterances are spoken in the order of the calls", async (t) => {
  const session = await connect(t);
  const utterances = [1, 2, 3, 4].map((number) => session.speak(`Sentence number ${number}.`));
  const begun = () => utterances.map((one) => one.begun);
  await Promise.resolve();
  assert.deepEqual(begun(), [true, true, false, false]); // two at once
  for (const utterance of utterances) assertTiles(await read(utterance), utterance.text);
  assert.deepEqual(begun(), [true, true, true, true]);
});

test("a reader that is behind pauses the sending of text; done lifts that", async (t) => {
  const session = await connect(t);
  const text = TEXT.repeat(150); // 12,000 characters, a quarter of an hour
  const utterance = session.speak(text, { mode: "batch" });
  const audio = utterance[Symbol.asyncIterator]();
  await audio.next();
  while (!utterance.held) await new Promise((go) => setTimeout(go, 10));
  assert.ok(utterance.audioMs > 30_000 && utterance.words.at(-1).to < text.length);
  utterance.cancel();
});

test("other formats come as they are", async (t) => {
  const session = await connect(t);
  const heard = await read(session.speak("Hello there.", { format: "mulaw", sampleRate: 8000 }));
  const bytes = heard.reduce((sum, { data }) => sum + data.length, 0);
  assert.equal(heard[0].samples, null);
  assert.ok(Math.abs(bytes / 8 - heard.at(-1).startMs - heard.at(-1).durationMs) < 1);
});

test("an unknown voice fails one utterance, with its code, and not the session", async (t) => {
  const session = await connect(t);
  const utterance = session.speak("Hello.", { voice: "unknown" });
  await assert.rejects(utterance.done(), (error) => {
    assert.ok(error instanceof SpeechFailed);
    assert.equal(error.code, "unknown_voice");
    assert.match(error.message, /heart/); // the known voices
    return true;
  });
  assertTiles(await read(session.speak("Hello.")), "Hello.");
});

test("wrong use is told at once", async (t) => {
  const session = await connect(t);
  assert.throws(() => session.speak("Hi", { sample_rate: 8000 }), /unknown parameter "sample_rate"; known are .*sampleRate/);
  assert.throws(() => session.speak(7), /cannot speak Number/);
  assert.throws(() => session.speak(Promise.resolve("Hi")), /await it first/);
  const ended = session.speak("Hi.");
  assert.throws(() => ended.append("more"), { code: "text_ended" });
  const failing = session.speak(slowly(["Hello ", 7]));
  await assert.rejects(failing.done(), /cannot speak Number/);
});

test("without anything to speak an utterance is done", async (t) => {
  const session = await connect(t);
  assert.equal((await session.speak("").done()).audioMs, 0);
  assert.equal((await session.speak("😀 ").done()).textTo, 3);
});

test("errors of connecting name the remedy", async () => {
  await assert.rejects(Session.connect("not an address", { WebSocket }), BadAddress);
  const nowhere = Session.connect("http://127.0.0.1:9", { WebSocket });
  await assert.rejects(nowhere, (error) => error instanceof ConnectionLost && /duplex-tts serve/.test(error.message));
});

test("a server with keys asks for one", async (t) => {
  const { DUPLEX_TTS_LOCKED_URL: url, DUPLEX_TTS_KEY: key } = process.env;
  for (const wrong of [undefined, "dtts_wrong"]) {
    await assert.rejects(Session.connect(url, { key: wrong, WebSocket }), (error) => {
      assert.ok(error instanceof Refused);
      assert.equal(error.code, "invalid_api_key");
      return /duplex-tts key/.test(error.message);
    });
  }
  assertTiles(await read((await connect(t, url, { key })).speak("Hello.")), "Hello.");
});

test("a closed session fails its utterances and speaks no more", async (t) => {
  const session = await connect(t);
  const utterance = session.speak(TEXT);
  session.close();
  await assert.rejects(utterance.done(), { code: "connection_lost" });
  assert.throws(() => session.speak("Hi"), { code: "connection_lost" });
});

test("no connection for too long fails what is in flight", async (t) => {
  const relay = await relayTo(SERVER);
  t.after(relay.close);
  const session = await connect(t, relay.url, { giveUpMs: 300 });
  const utterance = session.speak(TEXT);
  relay.cut();
  await assert.rejects(utterance.done(), { code: "connection_lost" });
});

test("when the server has lost the session, unheard text is sent again", async (t) => {
  const relay = await relayTo(SERVER);
  t.after(relay.close);
  const session = await connect(t, relay.url);
  const text = TEXT.repeat(4);
  const utterance = session.speak(text);
  const heard = [];
  for await (const audio of utterance) {
    heard.push(audio);
    if (audio.data.length === 0 || utterance.restarts.length > 0 || heard.cut) continue;
    heard.cut = true;
    relay.cut();
    const ended = await fetch(`${SERVER}/v1/sessions/${session.ready.session}`, { method: "DELETE" });
    assert.equal(ended.status, 204);
    relay.mend();
  }
  const [{ textTo, audioMs }] = utterance.restarts;
  const second = heard.findIndex(({ startMs }) => startMs >= audioMs - 0.5);
  assertTiles(heard.slice(0, second), text.slice(0, textTo));
  const rest = heard.slice(second).map((one) => ({ ...one, from: one.from - textTo, to: one.to - textTo, startMs: one.startMs - audioMs }));
  assertTiles(rest, text.slice(textTo));
  assert.equal(utterance.text, text);
  assert.deepEqual(utterance.words.map((word) => word.text), utterance.words.map(({ from, to }) => text.slice(from, to)));
});

test("under a path, a proxy's, the path is kept", async (t) => {
  const urls = [];
  class Spy extends WebSocket {
    constructor(url) {
      urls.push(String(url));
      super(url);
    }
  }
  const nothingThere = { code: "connection_lost", message: /\(.+\) at ws:.+\/tts\/ws\/tts: start it/ };
  await assert.rejects(Session.connect(`${SERVER}/tts/`, { WebSocket: Spy }), nothingThere);
  await assert.rejects(Session.connect("localhost:9/", { WebSocket: Spy, key: " a b " }), { code: "connection_lost" });
  await assert.rejects(Session.connect("https://[::1]:9/x/ws/tts?a=1", { WebSocket: Spy }), { code: "connection_lost" });
  assert.match(urls[0], /\/tts\/ws\/tts\?direct=1$/);
  assert.equal(urls[1], "ws://localhost:9/ws/tts?key=a+b&direct=1");
  assert.equal(urls[2], "wss://[::1]:9/x/ws/tts?a=1&direct=1");
});
