// Assembles the page. The client library (client/) talks to the server and plays, speech.js decides
// what is spoken, text_field.js is where the user types.

import { copyText } from "../shared/clipboard.js";
import { keepFocus, Notice } from "../shared/controls.js";
import { Demo } from "./demo.js";
import { Drafts } from "../text/drafts.js";
import { Place } from "../text/highlight.js";
import { History } from "./history.js";
import { Lexicon } from "./lexicon.js";
import { takeKeyFromLink } from "../shared/key.js";
import { keepOffline } from "./offline.js";
import { Online } from "../session/online.js";
import { Painter } from "../text/painter.js";
import { createBoard } from "../phrases/phrase_board.js";
import { Player } from "../client/player.js";
import { Connection } from "../client/connection.js";
import { Scanner } from "./scanner.js";
import { Settings } from "./settings.js";
import { installSettingsDialog } from "./settings_dialog.js";
import { Sheet } from "../text/sheet.js";
import { installShortcuts } from "./shortcuts.js";
import { Speech } from "../session/speech.js";
import { StillTyping } from "./still_typing.js";
import { keep, recall, store } from "../shared/store.js";
import { TextField } from "../text/text_field.js";
import { installTools } from "./tools.js";
import { createVoicePanel } from "../voices/voice_panel.js";
import { Waiting } from "./waiting.js";

const element = (id) => document.getElementById(id);
const elements = (ids) =>
  Object.fromEntries(Object.entries(ids).map(([name, id]) => [name, element(id)]));
const socket = new URL("ws/tts", location.href);
socket.protocol = socket.protocol.replace("http", "ws");
socket.hash = "";

takeKeyFromLink();
const connection = new Connection(socket);
const player = new Player();
const speech = new Speech(connection, player);
const sheet = new Sheet(element("text"), element("mirror"));
const field = new TextField(sheet, speech);
const scanner = new Scanner();
const stillTyping = new StillTyping(field, speech);
const drafts = new Drafts(field);
const notice = new Notice(element("notice"));
const demo = new Demo();
const painter = new Painter({ speech, player, field, paper: element("paper") });
const waiting = new Waiting(element("waiting-section"), element("waiting"));
const { voices, newVoice } = createVoicePanel();
const settings = new Settings(
  elements({ speed: "speed", volume: "volume", size: "size", still: "still", hold: "hold", switches: "switches", scan: "scan" }),
  document.querySelectorAll("input[name=typing]"),
);
const { phrases, editor } = createBoard(settings);
const lexicon = new Lexicon(elements({
  dialog: "lexicon", open: "open-lexicon", close: "close-lexicon", form: "lexicon-form",
  written: "lexicon-written", said: "lexicon-said", hear: "lexicon-hear",
  entries: "lexicon-entries", status: "lexicon-status",
}));
const history = new History(
  elements({
    list: "history",
    empty: "history-empty",
    repeat: "repeat",
    clear: "clear-history",
    search: "find-history",
    more: "more-history",
  }),
  () => player.rate,
  () => speech.manner,
);
const online = new Online(connection, elements({
  status: "connection", text: "connection-text", unlock: "unlock", forget: "forget-key",
}));

// --- speaking and stopping ----------------------------------------------------------------------

function say(text) {
  if (online.away) return unsaid(text);
  field.break(); // split the text being typed, so that it is spoken first
  const place = new Place(document.createTextNode(text));
  history.add(place.node, [speech.say({ text, place, ended: true })]);
}

function unsaid(text) {
  waiting.add(text);
  if (online.needsKey) return askForKey();
  notice.show("The server is away: this waits below, and is not spoken yet.", "problem");
}

function askForKey() {
  notice.show("Nothing is heard before the key is entered.", "lost", { label: "Enter it", act: () => online.ask() });
}

function stop() {
  demo.stop();
  painter.paint(); // mark what was heard until now
  speech.silence();
  globalThis.speechSynthesis?.cancel();
  painter.paint();
}

function clear() {
  if (field.speaking) stop(); // nothing of the text is heard after it is cleared
  const text = field.clear();
  if (!text.trim()) return;
  // A draft that was put aside is restored first.
  queueMicrotask(() => {
    const undo = () => (field.text ? drafts.edit(text) : field.undo());
    const words = field.text ? "Cleared. Your draft is back." : "Cleared.";
    notice.show(words, "cleared", { label: "Undo", act: () => back(undo) });
  });
}

/** Run it, then focus the text: on a phone only if its keyboard is already open. */
function back(act) {
  act();
  const typing = matchMedia("(hover: hover)").matches || document.activeElement === element("text");
  if (typing && !document.querySelector("dialog[open]")) field.focus();
}

function useManner() {
  const { typing } = settings;
  speech.manner = {
    voice: voices.voice,
    speed: settings.value("speed"),
    volume: settings.value("volume"),
    typing: typing === "enter" ? "auto" : typing,
  };
  field.asYouType = typing !== "enter";
  showHint();
}

const forgets = () => notice.show("This browser keeps nothing: what you write here is gone with the page.", "problem");
store.addEventListener("failed", forgets, { once: true });
// A notice's action concerns the old text: it expires when text is written or spoken.
element("text").addEventListener("beforeinput", () => notice.hide("cleared"));
for (const type of ["undo", "redo"]) sheet.addEventListener(type, () => notice.hide("text", "cleared"));
field.expand = (word) => phrases.expand(word);
field.addEventListener("said", ({ detail: { place, takes } }) => {
  notice.hide("text", "cleared");
  history.add(place.node, takes);
});
field.addEventListener("unsaid", ({ detail }) => unsaid(detail));
field.addEventListener("held", showHint);
drafts.addEventListener("back", () => notice.show("Your draft is back. It is not spoken before you press Speak.", "text"));
phrases.addEventListener("press", ({ detail: text }) => {
  back(() => (element("insert-phrases").checked ? field.insert(text) : say(text)));
});
phrases.addEventListener("slip", () => notice.show(`Hold it for ${settings.value("hold")} s.`));
history.addEventListener("again", ({ detail }) => back(() => say(detail)));
history.addEventListener("edit", ({ detail }) => drafts.edit(detail));
history.addEventListener("star", ({ detail }) => editor.open(null, detail));
history.addEventListener("copy", async ({ detail }) => {
  const copied = await copyText(detail);
  back(() => notice.show(copied ? "Copied." : "This browser does not let a page copy."));
});
history.addEventListener("problem", ({ detail: { text } }) => notice.show(text, "problem"));
history.addEventListener("cleared", ({ detail: act }) => {
  back(() => notice.show("The history is cleared.", "", { label: "Undo", act: () => back(act) }));
});
editor.addEventListener("removed", ({ detail: act }) => {
  notice.show("The phrase is deleted.", "", { label: "Undo", act });
});
waiting.addEventListener("say", ({ detail }) => back(() => say(detail)));
waiting.addEventListener("keep", ({ detail }) => history.note(detail, "Not spoken by the server's voice"));
waiting.addEventListener("discarded", ({ detail: text }) => {
  notice.show("Discarded.", "", { label: "Undo", act: () => waiting.add(text) });
});
waiting.addEventListener("failed", () => notice.show("This device's voice does not speak. It still waits.", "problem"));
for (const [part, type] of [[voices, "sample"], [lexicon, "hear"]]) {
  part.addEventListener(type, ({ detail }) => {
    field.break();
    const { text, ...parameters } = detail;
    speech.say({ text, parameters, place: new Place(document.createTextNode("")), ended: true });
  });
}
voices.addEventListener("problem", ({ detail: { text } }) => notice.show(text, "problem"));
newVoice.addEventListener("listening", stop); // keep playback out of the recording
newVoice.addEventListener("added", async ({ detail: name }) => {
  await listVoices();
  voices.choose(name);
});
voices.addEventListener("change", changeManner);
settings.addEventListener("change", ({ detail }) => {
  if (detail === "size") document.documentElement.style.setProperty("--text-size", settings.value("size"));
  else if (detail === "still") stillTyping.everyMs = settings.value("still") * 1000;
  else if (["switches", "scan"].includes(detail)) {
    scanner.set({ switches: settings.value("switches"), everyMs: settings.value("scan") * 1000 });
    showHint();
  } else if (detail !== "hold") changeManner();
});

function changeManner() {
  useManner();
  field.changeManner();
}

// --- input --------------------------------------------------------------------------------------

// A phone's keyboard takes half of the screen.
new ResizeObserver(() => sheet.reveal(element("paper"))).observe(element("paper"));
keepFocus(document.body);
element("say").addEventListener("click", () => back(() => field.say()));
element("stop").addEventListener("click", () => back(stop));
element("repeat").addEventListener("click", () => back(() => {}));
element("clear-text").addEventListener("click", () => back(clear));
const tools = installTools({ field, drafts, speech, player, history, phrases, notice, stop, back });
installSettingsDialog({ kept: { settings, phrases, history }, notice, back });
installShortcuts({ text: element("text"), field, phrases, history, tools, stop });

// --- display ------------------------------------------------------------------------------------

function showHint() {
  const enter = settings.typing === "enter";
  element("hint-text").textContent = field.held
    ? "This text is spoken when you press Speak."
    : settings.value("switches")
      ? "Switches are on: Space and Enter choose what is marked."
    : enter
      ? "Enter or Speak says the text."
      : "What was spoken stays; what comes next you may still change.";
  // Hidden without changing the layout: text being read does not move.
  element("demo").style.visibility = recall("demo", false) || field.text !== "" ? "hidden" : "";
}

field.addEventListener("changed", showHint);
speech.addEventListener("spoken", ({ detail: { context: take } }) => take.place.account(take));
speech.addEventListener("sound", ({ detail: { context: take } }) => history.keepSound(take));
speech.addEventListener("replaced", ({ detail: { context: take, next } }) => history.extend(take, next));
speech.addEventListener("finished", ({ detail: { context: take } }) => {
  if (history.finished(take)) notice.show("This voice cannot read that: nobody heard it.", "problem");
});
speech.addEventListener("notice", ({ detail: { text, kind } }) => notice.show(text, kind));
speech.addEventListener("voiceless", ({ detail: { voice } }) => {
  voices.fallBack(voice);
  useManner();
});
field.addEventListener("locked", ({ detail: word }) => {
  element("paper").dataset.locked = "";
  setTimeout(() => delete element("paper").dataset.locked, 700);
  const act = () => back(() => field.insert(word));
  notice.show("That is spoken already: it stays, and you go on behind it.", "text", word && { label: `Say “${word}” as a correction`, act });
});

element("demo").addEventListener("click", () => {
  const node = element("demo-text").appendChild(document.createTextNode(""));
  const take = speech.say({ place: new Place(node) });
  keep("demo", true);
  demo.start((text, ended) => {
    node.data = text;
    speech.update(take, text, ended);
  });
  showHint();
  back(() => {});
});
player.addEventListener("rest", () => demo.running || element("demo-text").replaceChildren());

// --- the server ---------------------------------------------------------------------------------

async function listVoices() {
  try {
    speech.defaultVoice = await voices.load();
    useManner();
  } catch (error) {
    notice.show(`The voices could not be listed: ${error.message}`, "problem");
  }
}

connection.addEventListener("ready", listVoices);
online.addEventListener("locked", () => notice.hide("lost"));
online.addEventListener("putOff", askForKey);
online.addEventListener("away", () => {
  field.away = speech.away = true;
  for (const take of speech.unfinished) {
    const rest = speech.withdraw(take);
    history.shorten(take);
    if (rest.trim()) waiting.add(rest);
  }
});
connection.addEventListener("ready", () => notice.hide("lost"));
online.addEventListener("back", () => (field.away = speech.away = false));
connection.addEventListener("ready", () => (waiting.online = true));
connection.addEventListener("resumed", () => (waiting.online = true));
connection.addEventListener("lost", () => (waiting.online = false));

// Browsers allow audio only after a user gesture.
for (const gesture of ["pointerdown", "keydown"]) {
  document.addEventListener(gesture, () => player.wake(), { capture: true });
}

element("demo").hidden = recall("demo", false);
settings.restore(settings.all); // after all listeners are attached
painter.paint(); // the draft was loaded earlier
if (Player.obstacle) notice.show(Player.obstacle, "problem");
online.open();
keepOffline();
