// The JavaScript client of Duplex TTS: for browsers and Node. docs/javascript.md describes it.

export { DEFAULT_URL } from "./address.js";
export {
  BadAddress,
  CannotPlay,
  ClientError,
  ConnectionLost,
  ProtocolError,
  Refused,
  SpeechFailed,
} from "./errors.js";
export { Player } from "./player.js";
export { Session } from "./session.js";
export { Utterance } from "./utterance.js";
export { wav } from "./wav.js";
