// Positions in texts. The server counts Unicode code points, JavaScript strings count UTF-16 units.
// `units` below is always a position in a JavaScript string, `points` a position on the wire.

const PAIR = /[\ud800-\udbff][\udc00-\udfff]/g;

/** Code points in the first `units` of `text`. */
export function toPoints(text, units = text.length) {
  return units - (text.slice(0, units).match(PAIR)?.length ?? 0);
}

/** The position of code point number `points` in `text`, at most the end of `text`. */
export function toUnits(text, points) {
  let units = 0;
  if (text.search(PAIR) < 0) return Math.min(points, text.length);
  for (const character of text) {
    if (points-- <= 0) break;
    units += character.length;
  }
  return units;
}

/** The same, counted from a known pair of positions: a book is not read for each of its words. */
export function toUnitsFrom(known, text, points) {
  const more = points - known.points;
  if (more < 0) return toUnits(text, points);
  return known.units + toUnits(text.slice(known.units, known.units + 2 * more), more);
}

/** `units` or one less: never inside a surrogate pair. */
export function characterStart(text, units) {
  const code = text.charCodeAt(units);
  const before = text.charCodeAt(units - 1);
  const inside = code >= 0xdc00 && code <= 0xdfff && before >= 0xd800 && before <= 0xdbff;
  return inside ? units - 1 : units;
}

/** The length of the first `units` of `text`, without the first half of a pair at their end. */
export function wholeLength(text, units = text.length) {
  const last = text.charCodeAt(units - 1);
  return last >= 0xd800 && last <= 0xdbff ? units - 1 : units;
}

/** Length of the common prefix of `a` and `b`, in whole characters. */
export function commonPrefix(a, b) {
  const end = Math.min(a.length, b.length);
  let at = 0;
  while (at < end && a[at] === b[at]) at++;
  return Math.min(characterStart(a, at), characterStart(b, at));
}

/** Where the word that `at` is in, or behind, begins. */
export function wordStart(text, at) {
  while (at > 0 && !/\s/.test(text[at - 1])) at--;
  return at;
}
