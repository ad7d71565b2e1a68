// A TCP relay before the server, which can be cut: at once, or after some more bytes, within a message.

import { once } from "node:events";
import { connect, createServer } from "node:net";

export async function relayTo(serverUrl) {
  const { hostname, port } = new URL(serverUrl);
  const ends = new Set();
  let [isWhole, leftBytes] = [true, Infinity];

  const cut = () => {
    isWhole = false;
    for (const end of ends) end.resetAndDestroy();
  };
  const down = (client) => (data) => {
    const passed = data.subarray(0, Math.max(0, Math.min(leftBytes, data.length)));
    leftBytes -= data.length;
    client.write(passed, leftBytes <= 0 ? cut : undefined);
  };
  const listener = createServer((client) => {
    if (!isWhole) return client.resetAndDestroy();
    const server = connect(port, hostname);
    for (const [end, other] of [[client, server], [server, client]]) {
      ends.add(end);
      end.on("error", () => {});
      end.on("close", () => ends.delete(end) && other.destroy());
    }
    client.on("data", (data) => server.write(data));
    server.on("data", down(client));
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  return {
    url: `http://127.0.0.1:${listener.address().port}`,
    cut,
    /** Cut after this many more bytes from the server. */
    cutAfter: (bytes) => (leftBytes = bytes),
    mend: () => ([isWhole, leftBytes] = [true, Infinity]),
    close: () => (cut(), listener.close()),
  };
}
