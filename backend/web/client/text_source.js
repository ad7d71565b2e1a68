// Reads text to speak: a string, or anything that yields pieces of text.

/**
 * The pieces of `source` as they come: a string, an iterable or async iterable (such as a ReadableStream) of
 * strings or of a language model's chunks. Throws `TypeError` for anything else, and what the source throws.
 */
export async function* piecesOf(source) {
  if (typeof source === "string") {
    if (source) yield source;
    return;
  }
  for await (const item of source) {
    const piece = contentOf(item);
    if (piece) yield piece;
  }
}

/** Throws `TypeError` for what cannot be spoken. */
export function checkSource(source) {
  if (typeof source === "string") return;
  if (source?.[Symbol.asyncIterator] || source?.[Symbol.iterator]) return;
  const hint = typeof source?.then === "function" ? "; await it first" : "";
  throw new TypeError(`cannot speak ${describe(source)}: expected a string, or what yields strings${hint}`);
}

/** The text of a piece: a string, or a chunk as OpenAI's (`choices[0].delta.content`, `delta`) or the AI SDK's
 *  (`textDelta`, `text`) streams have them. Empty for chunks about something else.
 */
function contentOf(item) {
  if (typeof item === "string") return item;
  if (item === null || item === undefined) return "";
  if (typeof item !== "object") throw unspeakable(item);
  if (Array.isArray(item.choices)) return item.choices[0]?.delta?.content ?? "";
  if (item.type === "response.output_text.delta") return item.delta;
  if (item.type === "text-delta") return item.textDelta ?? item.text ?? item.delta ?? "";
  if (item.type === "content_block_delta") return item.delta?.text ?? "";
  if (typeof item.type === "string") return ""; // another event of such a stream
  throw unspeakable(item);
}

function unspeakable(item) {
  return new TypeError(`cannot speak ${describe(item)}: expected a string or choices[0].delta.content`);
}

function describe(value) {
  return value === null ? "null" : (value?.constructor?.name ?? typeof value);
}
