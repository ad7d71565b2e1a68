// Server addresses as people write them.

import { BadAddress } from "./errors.js";

export const DEFAULT_URL = "http://127.0.0.1:8000";

const PATH = "/ws/tts";
const SCHEMES = { "ws:": "ws:", "wss:": "wss:", "http:": "ws:", "https:": "wss:" };

/**
 * The URL of the WebSocket for `http://host:port`, `host:port`, `wss://host/path` and the like. A path
 * (a proxy's) stays before `/ws/tts`. Throws `BadAddress`.
 */
export function websocketUrl(address) {
  const text = String(address).trim();
  const url = parse(/^[a-z][a-z\d+.-]*:\/\//i.test(text) ? text : `ws://${text}`);
  if (!url?.hostname || !SCHEMES[url.protocol]) {
    throw new BadAddress(`"${text}" is no server address: write one like ${DEFAULT_URL} or https://host/path`);
  }
  const path = url.pathname.replace(/\/+$/, "").replace(/\/ws\/tts$/, "");
  const secure = SCHEMES[url.protocol] === "wss:";
  return new URL(`${secure ? "wss:" : "ws:"}//${authority(url)}${path.replace(/\/+$/, "")}${PATH}${url.search}`);
}

/** Host and port; a browser's WebSocket takes no user. */
function authority({ host, username, password }) {
  if (!username) return host;
  return `${username}${password && `:${password}`}@${host}`;
}

function parse(text) {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}
