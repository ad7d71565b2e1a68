// Everything that this browser keeps of a person, as one file, and back.

import { save } from "../playback/wav.js";

const KIND = "duplex-tts";
const VERSION = 1;

/** Let the browser save all of `parts`: by name, what has `all` and `restore` (which may return
 *  a function that undoes it). */
export function exportAll(parts) {
  const all = Object.entries(parts).map(([name, part]) => [name, part.all]);
  const text = JSON.stringify({ kind: KIND, version: VERSION, ...Object.fromEntries(all) }, null, 1);
  const day = new Date().toISOString().slice(0, 10);
  save(new Blob([text], { type: "application/json" }), `duplex-tts-${day}.json`);
}

/** Put what a file holds in place of what is here. Returns a function that undoes it. Raises in
 *  words what is wrong with the file.
 */
export async function importAll(file, parts) {
  let found;
  try {
    found = JSON.parse(await file.text());
  } catch {
    throw new Error("this is not a file that was exported here.");
  }
  if (found?.kind !== KIND) throw new Error("this is not a file that was exported here.");
  if (found.version > VERSION) throw new Error("it was saved by a later version of this page.");
  const undo = Object.entries(parts).filter(([name]) => found[name]).map(([name, part]) => {
    const before = part.all;
    return part.restore(found[name]) ?? (() => part.restore(before));
  });
  return () => undo.forEach((act) => act());
}
