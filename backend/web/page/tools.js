// Conversation aids: the attention sound, large text for a person sitting
// opposite, reading aloud, and word suggestions.

import { button } from "../shared/controls.js";
import { Place } from "../text/highlight.js";
import { LargeView } from "./large_view.js";
import { Prediction } from "../text/prediction.js";
import { Reader } from "../text/reader.js";
import { attentionTones } from "./tones.js";

const element = (id) => document.getElementById(id);
const LARGEST_FILE_BYTES = 2e6;
const PAUSED = "Paused: nothing is heard before you press Go on.";
// Control characters of binary files; text that is not UTF-8 is read as windows-1252.
const NOT_TEXT = /[\0-\x08\x0e-\x1a\x1c-\x1f]/;

/** `page`: {field, drafts, speech, player, history, phrases, notice, stop, back}. */
export function installTools(page) {
  const attention = () => page.speech.play(attentionTones(page.player.rate), new Place(new Text("")));
  const large = new LargeView({
    dialog: element("large"),
    text: element("large-text"),
    turn: element("turn-large"),
    close: element("close-large"),
  });
  const showLarge = () => large.show(page.field.text.trim() || page.history.all[0]?.text || "");
  element("attention").addEventListener("click", () => page.back(attention));
  element("show-large").addEventListener("click", showLarge);
  element("large").addEventListener("close", () => page.back(() => {}));
  const pause = installReading(page);
  const suggest = installPrediction(page);
  return { KeyA: attention, KeyL: showLarge, KeyP: pause, suggest };
}

/** Returns the function that pauses and resumes. */
function installReading({ field, drafts, player, notice, stop, back }) {
  const reader = new Reader(field, stop);
  const pause = () => {
    if (!player.paused && !player.sounding) return notice.show("Nothing is being said.");
    player.paused = !player.paused;
    showPaused();
    if (player.paused) notice.show(PAUSED, "paused");
    else notice.hide("paused");
  };
  field.addEventListener("said", () => player.paused && notice.show(PAUSED, "paused"));
  const showPaused = () => {
    element("pause").textContent = player.paused ? "Go on" : "Pause";
    element("pause").classList.toggle("primary", player.paused);
  };
  element("read").addEventListener("click", () => back(() => reader.start()));
  element("pause").addEventListener("click", () => back(pause));
  element("sentence-back").addEventListener("click", () => back(() => reader.skip(-1)));
  element("sentence-forward").addEventListener("click", () => back(() => reader.skip(1)));
  player.addEventListener("rest", showPaused);
  const paper = element("paper");
  paper.addEventListener("dragover", (event) => event.preventDefault());
  paper.addEventListener("drop", async (event) => {
    const [file] = event.dataTransfer.files;
    if (!file) return; // dropped text is handled by the field
    event.preventDefault();
    if (file.size > LARGEST_FILE_BYTES || !/^text\/|^$/.test(file.type)) {
      return notice.show("Only a text file can be read here.", "problem");
    }
    const text = decoded(await file.arrayBuffer());
    if (NOT_TEXT.test(text)) return notice.show("Only a text file can be read here.", "problem");
    drafts.edit(text);
    field.caret = 0;
    notice.show("Read aloud says it; your draft comes back when this is cleared.");
  });
  return pause;
}

function decoded(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes);
  }
}

/** Returns the function that inserts the suggestion with a number (from 1). */
function installPrediction({ field, history, phrases, back }) {
  let prediction = null; // created on first use
  let choices = [];
  const learned = () => {
    prediction = new Prediction();
    for (const { text } of [...history.all, ...phrases.all]) prediction.learn(text);
    return prediction;
  };
  const take = (number) => {
    const choice = choices[number - 1];
    if (choice) field.complete(choice.word, choice.begun);
  };
  field.addEventListener("changed", () => {
    const { text, caret } = field;
    const atEnd = text !== "" && caret === text.length;
    choices = atEnd ? (prediction ?? learned()).choices(text.slice(-200)) : [];
    element("suggestions").replaceChildren(
      ...choices.map(({ word }, at) => button(word, () => back(() => take(at + 1)), `Suggestion: ${word}`)),
    );
    element("hint").toggleAttribute("data-suggesting", choices.length > 0);
  });
  field.addEventListener("said", ({ detail: { place } }) => prediction?.learn(place.node.data));
  return take;
}
