// One message of audio as the application gets it, those that it has not read, and the sums that the
// server's `done` has to match.

/** `text`: of the utterance; `startMs`: where the audio of the context begins. */
export function createAudio({ context, header, data, from, to, words }, { text, startMs }) {
  const { base, rateHz } = context;
  const isPlain = rateHz !== null && !context.compressed;
  const span = (one) => ({
    from: base + one.from,
    to: base + one.to,
    text: text.slice(base + one.from, base + one.to),
  });
  return {
    ...span({ from, to }),
    data: new Uint8Array(data),
    samples: isPlain ? new Int16Array(data) : null,
    sampleRate: rateHz,
    startMs: startMs + header.start_ms,
    durationMs: header.duration_ms,
    words: words.map((word) => ({
      ...span(word),
      startMs: startMs + word.startMs,
      endMs: startMs + word.endMs,
    })),
  };
}

export class UnreadAudio {
  #audio = [];
  ms = 0;

  push(audio) {
    this.#audio.push(audio);
    this.ms += audio.durationMs;
  }

  /** The oldest, or undefined. */
  shift() {
    const audio = this.#audio.shift();
    if (audio) this.ms -= audio.durationMs;
    return audio;
  }

  /** Returns what there was. */
  clear() {
    this.ms = 0;
    return this.#audio.splice(0);
  }
}

/** The sums over a context's audio. */
export class Totals {
  #sums = { chunks: 0, characters: 0, audio_ms: 0 };

  /** Returns false if the message is not the next. */
  add({ seq, text: [from, to], duration_ms: durationMs }) {
    const sums = this.#sums;
    if (seq !== sums.chunks || from !== sums.characters) return false;
    this.#sums = { chunks: seq + 1, characters: to, audio_ms: sums.audio_ms + durationMs };
    return true;
  }

  /** What differs from the server's totals, or null. */
  difference(done) {
    const sums = this.#sums;
    const differs = (name) => Math.abs(sums[name] - done[name]) > (name === "audio_ms" ? 1 : 0);
    const name = Object.keys(sums).find(differs);
    return name ? `${name}: received ${sums[name]}, the server sent ${done[name]}` : null;
  }
}
