// What this package throws. `code` identifies the kind for programs; the message says what helps.

/** Base class of all errors of this package. */
export class ClientError extends Error {
  constructor(code, message, options) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** The given address is not a valid server address. */
export class BadAddress extends ClientError {
  constructor(message) {
    super("bad_address", message);
  }
}

/** No connection: it could not be opened, it broke for good, or it was closed. */
export class ConnectionLost extends ClientError {
  constructor(message) {
    super("connection_lost", message);
  }
}

/** The server refuses the connection; `code` is one of the protocol's. */
export class Refused extends ClientError {
  /** `retryAfterMs`: when to try again, if the server says. */
  constructor(code, message, retryAfterMs = null) {
    super(code, `${message} (${code})`);
    this.retryAfterMs = retryAfterMs;
  }
}

/** The server's totals do not match what arrived. */
export class ProtocolError extends ClientError {
  constructor(message) {
    super("protocol_error", message);
  }
}

/** The server refused the text or could not speak all of it. `code` is that of the first of `errors`. */
export class SpeechFailed extends ClientError {
  constructor(message, errors) {
    super(errors[0].code, `${message}: ${errors[0].message} (${errors[0].code})`);
    this.errors = errors; // {code, message}
  }
}

/** Sound cannot be played here. */
export class CannotPlay extends ClientError {
  constructor(message) {
    super("cannot_play", message);
  }
}
