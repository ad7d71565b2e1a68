// Against a server that says what a test wants.

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";

import { ProtocolError, Refused, Session, SpeechFailed } from "duplex-tts";
import { WebSocketServer } from "ws";

import { next, Socket as WebSocket } from "./speaking.js";

const READY = { type: "ready", protocol: 1, session: "s", token: "t", voice: "heart", sample_rate: 8000, format: "pcm_s16le", received: 0 };

/** A session with a server whose `answers[type](message, send, socket)` answer messages. */
async function scripted(t, answers) {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  t.after(() => server.close());
  server.on("connection", (socket) => {
    const send = (message) => socket.send(message instanceof Uint8Array ? message : JSON.stringify(message));
    if (answers.hello) return answers.hello(send, socket);
    send(READY);
    socket.on("message", (data) => {
      const message = JSON.parse(data);
      answers[message.type]?.(message, send, socket);
    });
  });
  await once(server, "listening");
  const session = await Session.connect(`127.0.0.1:${server.address().port}`, { WebSocket });
  t.after(() => session.close());
  return session;
}

/** A binary message: ten milliseconds of sound for some text. */
function audio(context, seq, [from, to]) {
  const header = { type: "audio", context, seq, start_ms: 10 * seq, duration_ms: 10, text: [from, to], words: [] };
  const json = new TextEncoder().encode(JSON.stringify(header));
  const message = new Uint8Array(4 + json.length + 160);
  new DataView(message.buffer).setUint32(0, json.length, true);
  message.set(json, 4);
  return message;
}

const done = (context, sums) => ({ type: "done", context, audio_ms: 10, characters: 5, chunks: 1, ...sums });

test("an utterance that the server has no room for is tried again when it says", async (t) => {
  let refusals = 0;
  const session = await scripted(t, {
    start: ({ context }, send) => {
      if (refusals++ < 1) send({ type: "error", context, code: "overloaded", message: "full", retry_after_ms: 50 });
    },
    end: ({ context }, send) => {
      if (refusals < 2) return;
      send(audio(context, 0, [0, 5]));
      send(done(context));
    },
  });
  const utterance = session.speak("Hello");
  const heard = [];
  for await (const one of utterance) heard.push(one.text);
  assert.deepEqual(heard, ["Hello"]);
  assert.equal(refusals, 2);
});

for (const [what, sums] of Object.entries({ chunks: { chunks: 2 }, characters: { characters: 6 }, audio_ms: { audio_ms: 12 } })) {
  test(`totals that differ fail the utterance: ${what}`, async (t) => {
    const session = await scripted(t, {
      end: ({ context }, send) => {
        send(audio(context, 0, [0, 5]));
        send(done(context, sums));
      },
    });
    await assert.rejects(session.speak("Hello").done(), (error) => error instanceof ProtocolError && error.message.startsWith(what));
  });
}

for (const [what, seq, text] of [["a missing message", 1, [0, 5]], ["missing text", 0, [1, 5]]]) {
  test(`${what} fails the utterance, and cancels it`, async (t) => {
    let cancelled;
    const cancel = new Promise((resolve) => (cancelled = resolve));
    const session = await scripted(t, {
      end: ({ context }, send) => send(audio(context, seq, text)),
      cancel: cancelled,
    });
    const utterance = session.speak("Hello");
    await assert.rejects(utterance.done(), { code: "protocol_error" });
    await cancel;
  });
}

test("a sentence that cannot be spoken fails the utterance after the others are heard", async (t) => {
  const session = await scripted(t, {
    end: ({ context }, send) => {
      send({ type: "error", context, code: "engine_failed", message: "out of memory" });
      send(audio(context, 0, [0, 5]));
      send(done(context));
    },
  });
  const utterance = session.speak("Hello");
  const heard = [];
  const reading = (async () => {
    for await (const one of utterance) heard.push(one.text);
  })();
  await assert.rejects(reading, (error) => error instanceof SpeechFailed && error.code === "engine_failed");
  assert.deepEqual(heard, ["Hello"]);
});

test("a refused connection says why, and when to try again", async (t) => {
  const refused = (send, socket) => {
    send({ type: "error", context: null, code: "overloaded", message: "full", retry_after_ms: 700 });
    socket.close(1013);
  };
  await assert.rejects(scripted(t, { hello: refused }), (error) => {
    assert.ok(error instanceof Refused);
    assert.deepEqual([error.code, error.retryAfterMs], ["overloaded", 700]);
    return true;
  });
});

test("a session that the operator ends is over", async (t) => {
  const session = await scripted(t, {
    end: (_message, send, socket) => {
      send({ type: "error", context: null, code: "session_ended", message: "ended" });
      socket.close(1008);
    },
  });
  const closed = next(session, "closed");
  await assert.rejects(session.speak("Hello").done(), { code: "session_ended" });
  assert.equal((await closed).error.code, "session_ended");
});

test("the advice about a thin line reaches the application", async (t) => {
  const session = await scripted(t, {
    start: ({ context }, send) => send({ type: "advice", context, code: "thin_line", message: "m", format: "opus", bit_rate: "auto" }),
  });
  session.speak("Hello");
  assert.deepEqual(await next(session, "advice"), { code: "thin_line", message: "m", format: "opus", bitRate: "auto" });
});

test("a flush is sent behind its text, also if more text has come meanwhile", async (t) => {
  const messages = [];
  const keep = ({ type, text }) => messages.push(text ?? type);
  const session = await scripted(t, {
    text: keep,
    flush: keep,
    end: (message, send) => {
      keep(message);
      send(done(message.context, { chunks: 0, characters: 0, audio_ms: 0 }));
    },
  });
  const utterance = session.speak();
  utterance.append("One");
  utterance.flush();
  utterance.append(" tw");
  await Promise.resolve();
  utterance.append("o");
  utterance.flush();
  utterance.end();
  await utterance.done();
  assert.deepEqual(messages, ["One", "flush", " tw", "o", "flush", "end"]);
});

const FOREIGN = ["hello", "null", "[1]", '{"type":"connected"}', '{"type":"pong"}', new Uint8Array([9]), new Uint8Array(4).fill(255)];
for (const message of FOREIGN) {
  test(`an address where something else answers is told: ${message}`, async (t) => {
    const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
    t.after(() => server.close());
    server.on("connection", (socket) => socket.send(message));
    await once(server, "listening");
    const connecting = Session.connect(`127.0.0.1:${server.address().port}`, { WebSocket });
    await assert.rejects(connecting, { code: "connection_lost", message: /not Duplex TTS answers/ });
  });
}

test("garbage in mid-session breaks the connection, and not the program", async (t) => {
  const session = await scripted(t, { end: (_message, send) => send(new Uint8Array([9])) });
  const lost = next(session, "lost");
  session.speak("Hello");
  assert.match((await lost).why, /not Duplex TTS answers/);
});

/** All that a session tells of errors that belong to no utterance. */
function problemsOf(session) {
  const problems = [];
  session.addEventListener("problem", ({ detail }) => problems.push(detail.error));
  return problems;
}

/** Speaks an utterance to its end: all that was sent before is answered. */
async function speakAnother(session) {
  await session.speak("Hello").done();
}

const speaks = (message, send) => {
  send(audio(message.context, 0, [0, 5]));
  send(done(message.context));
};

for (const code of ["context_ended", "engine_failed", "timeout"]) {
  test(`an error about an utterance that was cancelled meanwhile is no problem: ${code}`, async (t) => {
    const session = await scripted(t, {
      cancel: ({ context }, send) => send({ type: "error", context, code, message: "m" }),
      end: speaks,
    });
    const problems = problemsOf(session);
    const utterance = session.speak();
    utterance.append("Cancelled");
    await Promise.resolve(); // it is begun
    utterance.cancel();
    await speakAnother(session);
    assert.deepEqual(problems, []);
  });
}

test("half a pair is not flushed, and goes with its other half", async (t) => {
  const messages = [];
  const keep = ({ type, text }) => messages.push(text ?? type);
  const session = await scripted(t, { text: keep, flush: keep, end: (message, send) => (keep(message), send(done(message.context, { chunks: 0, characters: 0, audio_ms: 0 }))) });
  const utterance = session.speak();
  utterance.append("Look \ud83d");
  await Promise.resolve();
  utterance.flush();
  utterance.append("\ude00");
  utterance.end();
  await utterance.done();
  assert.deepEqual(messages, ["Look ", "flush", "😀", "end"]);
});

test("an iterator that throws nothing at all fails its utterance", async (t) => {
  const session = await scripted(t, {});
  async function* broken() {
    yield "Hello";
    throw undefined;
  }
  const outcome = await session.speak(broken()).done().then(() => "done", (error) => ["failed", error]);
  assert.deepEqual(outcome, ["failed", undefined]);
});

test("only whole positions can be retracted to", async (t) => {
  const session = await scripted(t, {});
  const utterance = session.speak();
  utterance.append("Hello there");
  for (const position of [undefined, NaN, 2.5, "3"]) await assert.rejects(utterance.retract(position), TypeError);
  assert.equal(utterance.text, "Hello there");
});

/** A server that resumes no session, and speaks 13 characters in the first. Its `sockets` may be cut. */
function forgetful(sockets) {
  return (send, socket) => {
    const session = `s${sockets.push(socket)}`;
    send({ ...READY, session });
    socket.on("message", (data) => {
      const { type, context } = JSON.parse(data);
      if (type === "resume") send({ type: "error", context: null, code: "resume_failed", message: "no such session" });
      if (type === "text" && session === "s1") send(audio(context, 0, [0, 13]));
      if (type === "end") {
        send(audio(context, 0, [0, 5]));
        send(done(context));
      }
    });
  };
}

test("what is taken back while a session is lost stays if it is spoken, and what follows is spoken", async (t) => {
  const sockets = [];
  const session = await scripted(t, { hello: forgetful(sockets) });
  const problems = problemsOf(session);
  const utterance = session.speak();
  utterance.append("I never said that");
  const heard = [];
  const reading = (async () => {
    for await (const { from, to, text } of utterance) {
      heard.push({ from, to, text });
      if (heard.length > 1) continue;
      const lost = next(session, "lost");
      sockets[0].terminate();
      await lost;
      const retracted = utterance.retract(8);
      utterance.append("knew.");
      utterance.end();
      assert.equal(await retracted, 13);
    }
  })();
  await reading;
  const lost = next(session, "lost");
  sockets[1].close(1001);
  assert.deepEqual(heard, [{ from: 0, to: 13, text: "I never said " }, { from: 13, to: 18, text: "knew." }]);
  assert.equal(utterance.text, "I never said knew.");
  assert.deepEqual(problems, []); // `restarted` tells it
  assert.deepEqual(await lost, { why: "The server is shutting down", code: "" });
});
