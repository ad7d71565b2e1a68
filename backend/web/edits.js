// What changed in a text, and what of a change may stand. Plain functions; positions are UTF-16.

import { characterStart } from "./offsets.js";

/** Length of what `a` and `b` have in common at the start, in whole characters. */
export function commonPrefix(a, b) {
  const end = Math.min(a.length, b.length);
  let at = 0;
  while (at < end && a[at] === b[at]) at++;
  return Math.min(characterStart(a, at), characterStart(b, at));
}

/** The one replacement that turns `before` into `after`: at `at`, `removed` units by `inserted`. */
export function change(before, after) {
  const at = commonPrefix(before, after);
  const longest = Math.min(before.length, after.length) - at;
  let same = 0;
  while (same < longest && before.at(-1 - same) === after.at(-1 - same)) same++;
  return {
    at,
    removed: before.length - at - same,
    inserted: after.slice(at, after.length - same),
  };
}

/**
 * What may stand of an edit when the first `locked` units are spoken already: they come back, and
 * what was typed into them goes on behind them. Null: the edit touches nothing locked.
 */
export function protect(before, after, locked) {
  const { at, removed, inserted } = change(before, after);
  if (at >= locked) return null;
  const rest = Math.max(locked, at + removed);
  return {
    text: before.slice(0, locked) + inserted + before.slice(rest),
    caret: locked + inserted.length,
  };
}

/** Where the word at `at` begins. */
export function wordStart(text, at) {
  while (at > 0 && !/\s/.test(text[at - 1])) at--;
  return at;
}

const SENTENCE_END = /[.!?…؟۔।]["'”’»)\]]*\s+|[。！？]["'”’」』）]*\s*|\n+/gu;

/** Where the last finished sentence of `text` ends, its spaces included; 0 if there is none. */
export function sentencesEnd(text) {
  let end = 0;
  for (const match of text.matchAll(SENTENCE_END)) end = match.index + match[0].length;
  return end;
}
