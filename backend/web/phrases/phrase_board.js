// The phrases with their parts of the page: tiles, editor and settings.

import { PhraseEditor } from "./phrase_editor.js";
import { Phrases } from "./phrases.js";
import { keep, recall } from "../shared/store.js";

const element = (id) => document.getElementById(id);

/** Returns {phrases, editor}. */
export function createBoard(settings) {
  const tiles = element("phrases");
  const phrases = new Phrases({ tabs: element("categories"), tiles, search: element("find-phrase") });
  const editor = new PhraseEditor(phrases, {
    dialog: element("phrase-dialog"),
    title: element("phrase-dialog-title"),
    text: element("phrase-text"),
    category: element("phrase-category"),
    categories: element("phrase-categories"),
    short: element("phrase-short"),
    remove: element("remove-phrase"),
    earlier: element("earlier"),
    later: element("later"),
    cancel: element("cancel-phrase"),
    tiles,
  });
  const hold = () => (phrases.holdMs = settings.value("hold") * 1000);
  settings.addEventListener("change", ({ detail }) => detail === "hold" && hold());
  element("add-phrase").addEventListener("click", () => editor.open());
  element("edit-phrases").addEventListener("click", ({ currentTarget }) => {
    phrases.editing = !phrases.editing;
    hold();
    currentTarget.setAttribute("aria-pressed", phrases.editing);
    tiles.toggleAttribute("data-editing", phrases.editing);
    element("editing-hint").hidden = !phrases.editing;
  });
  const insert = element("insert-phrases");
  insert.checked = recall("insert", false);
  insert.addEventListener("change", () => keep("insert", insert.checked));
  return { phrases, editor };
}
