// A replica's own address: a server in a cluster offers it in `ready`, to do without a proxy between.
// See "Several servers as one" in docs/protocol.md.

const OPEN_MS = 3000; // meanwhile the first connection speaks
const AVOID_MS = 600_000;

export const RESUME_MS = 1000; // for an address that answered before, and for its answer to `resume`

/** The replicas' addresses that this page may use, and those that could not be reached lately. */
export class DirectAddresses {
  #secure;
  #Socket;
  #avoided = new Map(); // address -> until when

  /** `first`: the server's own URL. A page that came by https must not open ws. */
  constructor(first, Socket) {
    this.#Socket = Socket;
    this.#secure = new URL(first).protocol === "wss:";
  }

  avoid(address) {
    this.#avoided.set(address, performance.now() + AVOID_MS);
  }

  /** A WebSocket to `address` with these parameters, or null if it is not to be used. */
  connect(address, parameters) {
    if (performance.now() < (this.#avoided.get(address) ?? 0)) return null;
    try {
      const url = new URL(address);
      if (url.protocol !== "wss:" && (this.#secure || url.protocol !== "ws:")) return null;
      for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
      return new this.#Socket(url);
    } catch {
      this.avoid(address);
      return null;
    }
  }

  /** Connect with the ticket of an offer; calls `opened(socket)` if that succeeds in time. */
  approach({ url, ticket }, opened) {
    const socket = this.connect(url, { ticket });
    if (!socket) return;
    const leave = () => {
      clearTimeout(late);
      this.avoid(url);
      socket.onopen = socket.onclose = null;
      socket.onerror = () => {}; // in Node, it must not be null
      socket.close();
    };
    const late = setTimeout(leave, OPEN_MS);
    socket.onclose = socket.onerror = leave;
    socket.onopen = () => {
      clearTimeout(late);
      opened(socket);
    };
  }
}
