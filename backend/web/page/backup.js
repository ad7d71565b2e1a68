// Export and import of all of the user's data in this browser, as one file.

import { save } from "../shared/save.js";

const KIND = "duplex-tts";
const VERSION = 1;

/** Download all `parts`: by name, objects with `all` and `restore` (which may return
 *  an undo function). */
export function exportAll(parts) {
  const all = Object.entries(parts).map(([name, part]) => [name, part.all]);
  const text = JSON.stringify({ kind: KIND, version: VERSION, ...Object.fromEntries(all) }, null, 1);
  const day = new Date().toISOString().slice(0, 10);
  save(new Blob([text], { type: "application/json" }), `duplex-tts-${day}.json`);
}

/** Replace the current data with a file's. Returns an undo function. Raises an error with a
 *  readable message if the file is invalid.
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
