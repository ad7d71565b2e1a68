// Everything that this browser keeps of a person, as one file, and back.

import { save } from "./wav.js";

const KIND = "duplex-tts";

/** Let the browser save all of `parts`: by name, what has `all` and `restore`. */
export function exportAll(parts) {
  const all = Object.entries(parts).map(([name, part]) => [name, part.all]);
  const text = JSON.stringify({ kind: KIND, version: 1, ...Object.fromEntries(all) }, null, 1);
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
  const before = Object.entries(parts).map(([name, part]) => [name, part.all]);
  const restore = (all) => {
    for (const [name, part] of Object.entries(parts)) if (all[name]) part.restore(all[name]);
  };
  restore(found);
  return () => restore(Object.fromEntries(before));
}
