// Computes changes of a text, and the permitted part of a change. Pure; positions are UTF-16.

import { commonPrefix, wordStart } from "../client/offsets.js";

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
 * The permitted part of an edit when the first `locked` units are already spoken; null if nothing
 * locked is touched. `text` has the spoken part unchanged. Text typed into it moves behind it, as
 * separate words. A replacement of a spoken word is dropped: it is the `correction`, for the
 * user to decide about.
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

/** `words` between two texts, separated by spaces: {text, caret: behind them}. */
export function insertWords(head, words, tail) {
  if (!words) return { text: head + tail, caret: head.length };
  const begin = head + (/\S$/.test(head) && /^[\p{L}\p{N}]/u.test(words) ? " " : "") + words;
  return { text: begin + (/\S$/.test(words) && /^\S/.test(tail) ? " " : "") + tail, caret: begin.length };
}

/** `text` with its last word before `end` expanded, unless that begins before `locked`. A phrase loses
 *  its final punctuation if some follows already.
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

export function wordEnd(text, at) {
  while (at < text.length && !/\s/.test(text[at])) at++;
  return at;
}
