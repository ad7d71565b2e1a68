// In a file of its own: what other tests leave to timers must not meet mocked ones.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";

import { Session } from "duplex-tts";

import { Socket as WebSocket } from "./speaking.js";

test("a server that accepts and says nothing is given up", async (t) => {
  const listener = createServer(() => {});
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  t.after(() => listener.close());
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const connecting = Session.connect(`http://127.0.0.1:${listener.address().port}`, { WebSocket });
  const [socket] = await once(listener, "connection");
  t.after(() => socket.destroy());
  t.mock.timers.tick(15_000);
  await assert.rejects(connecting, { code: "connection_lost" });
});
