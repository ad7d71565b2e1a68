// What changed in a text, and what of a change may stand. Plain functions; positions are UTF-16.

import { characterStart } from "../session/offsets.js";

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
 * What may stand of an edit when the first `locked` units are spoken already; null: it touches
 * nothing locked. `text` has the spoken part as it was. What was typed into it stands behind it, as
 * words of its own. What was to replace a spoken word does not: it is the `correction`, for the
 * person to decide about.
 */
export function protect(before, after, locked) {
  const { at, removed, inserted } = change(before, after);
  if (at >= locked) return null;
  const replaces = removed > 0 && at + removed <= locked;
  if (replaces) {
    const word = after.slice(wordStart(after, at), wordEnd(after, at + inserted.length));
    return { text: before, caret: locked, correction: inserted.trim() ? word.trim() : "" };
  }
  const rest = before.slice(Math.max(locked, at + removed));
  return { ...insertWords(before.slice(0, locked), inserted, rest), correction: "" };
}

/** `words` between two texts, with the spaces that keep them apart: {text, caret: behind them}. */
export function insertWords(head, words, tail) {
  if (!words) return { text: head + tail, caret: head.length };
  const begin = head + (/\S$/.test(head) && /^[\p{L}\p{N}]/u.test(words) ? " " : "") + words;
  return { text: begin + (/\S$/.test(words) && /^\S/.test(tail) ? " " : "") + tail, caret: begin.length };
}

/** `text` with its last word before `end` expanded, unless that begins before `locked`. A phrase gives
 *  up its last mark where one is there already.
 */
export function expandWord(text, end, locked, expand) {
  const [, word, behind] = /(\S*?)([\s.,!?]*)$/.exec(text.slice(0, end));
  const at = end - behind.length - word.length;
  if (!word || at < locked) return text;
  const phrase = expand(word);
  if (phrase === word) return text;
  const marked = /^[.,!?]/.test(behind) ? phrase.replace(/[.,!?]+$/, "") : phrase;
  return text.slice(0, at) + marked + text.slice(end - behind.length);
}

/** Where the word at `at` begins. */
export function wordStart(text, at) {
  while (at > 0 && !/\s/.test(text[at - 1])) at--;
  return at;
}

/** Where the word at `at` ends. */
export function wordEnd(text, at) {
  while (at < text.length && !/\s/.test(text[at])) at++;
  return at;
}
