// The parameters of an utterance, as the protocol's `start` has them.

const NAMES = [
  "voice", "format", "sampleRate", "bitRate", "speed", "volume", "seed", "language", "mode", "typing",
  "priority", "lexicon", "dictionaries", "ssml", "exaggeration", "cfgWeight", "temperature", "topP",
  "minP", "repetitionPenalty", "noiseScale", "noiseW",
];

/** The fields of `start` for `{sampleRate: 8000, …}`. Throws `TypeError` for an unknown parameter. */
export function startFields(parameters) {
  const fields = {};
  for (const [name, value] of Object.entries(parameters)) {
    if (!NAMES.includes(name)) {
      throw new TypeError(`unknown parameter "${name}"; known are ${NAMES.join(", ")}`);
    }
    if (value !== undefined && value !== null) fields[snakeCase(name)] = value;
  }
  return fields;
}

function snakeCase(name) {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
