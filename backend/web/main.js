// Puts the page together. Who does what: protocol.js talks to the server, speech.js decides what is
// said, player.js and worklet.js make it sound, field.js is where it is typed.

import { Demo } from "./demo.js";
import { Field } from "./field.js";
import { Highlighter, Place } from "./highlight.js";
import { KeyQuestion, keptKey } from "./key.js";
import { audibleFrom } from "./loudness.js";
import { NewVoice } from "./new-voice.js";
import { Phrases } from "./phrases.js";
import { Player } from "./player.js";
import { Connection } from "./protocol.js";
import { Said } from "./said.js";
import { Speech } from "./speech.js";
import { keep, recall } from "./store.js";
import { Voices } from "./voices.js";

const element = (id) => document.getElementById(id);
const socket = new URL("ws/tts", location.href);
socket.protocol = socket.protocol.replace("http", "ws");

const connection = new Connection(socket);
const player = new Player();
const speech = new Speech(connection, player);
const field = new Field(element("text"), element("mirror"), speech);
const demo = new Demo();
const highlighter = new Highlighter();
const keyQuestion = new KeyQuestion();
const phrases = new Phrases(element("phrases"), element("phrases-text"));
const voices = new Voices({
  list: element("voices"),
  slider: element("speed"),
  output: element("speed-value"),
  note: element("voices-note"),
  learning: element("new-voice"),
});
const newVoice = new NewVoice({
  form: element("new-voice-form"),
  drop: element("new-voice-drop"),
  record: element("record"),
  file: element("new-voice-file"),
  preview: element("new-voice-preview"),
  status: element("new-voice-status"),
  name: element("new-voice-name"),
  add: element("new-voice-add"),
});
const said = new Said(
  {
    list: element("said"),
    empty: element("said-empty"),
    repeat: element("repeat"),
    saveAll: element("save"),
    forget: element("forget"),
  },
  () => player.rate,
);

// --- to speak, and to be silent -----------------------------------------------------------------

function say(text) {
  field.break(); // what is being typed comes first
  const place = new Place(document.createTextNode(text));
  said.add(place.node, [speech.say({ text, place, ended: true })]);
}

function silence() {
  demo.stop();
  paint(); // what was heard until now is shown as heard
  speech.silence();
  paint();
}

field.addEventListener("said", ({ detail: { place, takes } }) => said.add(place.node, takes));
phrases.addEventListener("say", ({ detail }) => say(detail));
said.addEventListener("again", ({ detail }) => say(detail));
said.addEventListener("edit", ({ detail }) => field.put(detail));
voices.addEventListener("sample", ({ detail }) => {
  field.break();
  speech.say({ ...detail, place: new Place(document.createTextNode("")), ended: true });
});
voices.addEventListener("problem", ({ detail: { text } }) => notice(text, "problem"));
newVoice.addEventListener("listening", silence); // no voice but the one to learn
newVoice.addEventListener("added", async ({ detail: name }) => {
  await listVoices();
  voices.choose(name);
});
voices.addEventListener("change", () => {
  speech.manner = voices.manner;
  field.changeManner();
});

element("say").addEventListener("click", () => field.say());
element("silence").addEventListener("click", silence);
element("demo").addEventListener("click", () => {
  if (demo.running) return demo.stop();
  field.say();
  setMode("type");
  demo.start((token) => field.append(token));
});
demo.addEventListener("change", () => {
  element("demo").setAttribute("aria-pressed", demo.running);
  if (!demo.running && field.text) field.say();
});

function setMode(mode) {
  document.querySelector(`input[name=mode][value=${mode}]`).checked = true;
  field.setMode(mode);
  keep("mode", mode);
}

for (const input of document.querySelectorAll("input[name=mode]")) {
  input.addEventListener("change", () => setMode(input.value));
  if (input.value === recall("mode", "type")) setMode(input.value);
}

element("text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  field.say();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.isComposing) return silence();
  if (!event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.code === "KeyR") said.repeat();
  else if (/^Digit[1-9]$/.test(event.code)) phrases.press(Number(event.code.at(-1)));
  else return;
  event.preventDefault();
});

// --- what the page shows ------------------------------------------------------------------------

const SHOWN_AFTER_MS = 16; // what is painted now is seen a frame later: be as much ahead

let gaps = 0;

function paint() {
  const takes = speech.atHand;
  const places = new Set([field.place, ...takes.map((take) => take.place)]);
  for (const place of places) place.now = null;
  for (const take of takes) take.place.follow(take, player.heardMs(take) + SHOWN_AFTER_MS);
  highlighter.paint([...places]);
}

const NOTICE_MS = 10_000;
let fading = 0;

function notice(text, kind) {
  // The same again would be read out again.
  if (element("notice").textContent !== text) element("notice").textContent = text;
  element("notice").dataset.kind = kind;
  clearTimeout(fading);
  if (kind !== "lost") fading = setTimeout(() => (element("notice").textContent = ""), NOTICE_MS);
}

function showConnection(state, text) {
  element("connection").dataset.state = state;
  element("connection-text").textContent = text;
}

player.addEventListener("tick", paint);
field.addEventListener("changed", paint);
player.addEventListener("report", () => {
  element("buffered").textContent = `${Math.round(player.bufferedMs)}\u202fms`;
});
player.addEventListener("rest", paint);
player.addEventListener("audible", ({ detail: { take, at } }) => {
  const silentMs = ((audibleFrom(take.chunks, player.rate) ?? 0) * 1000) / player.rate;
  element("first").textContent = `${Math.max(0, Math.round(at + silentMs - take.dueAt))}\u202fms`;
});
speech.addEventListener("gap", () => (element("gaps").textContent = ++gaps));
speech.addEventListener("spoken", ({ detail: take }) => {
  take.place.spoken = Math.max(take.place.spoken, take.base + take.spoken);
});
speech.addEventListener("sound", ({ detail: take }) => {
  said.keepSound(take);
});
speech.addEventListener("replaced", ({ detail: { take, next } }) => said.extend(take, next));
speech.addEventListener("finished", () => said.refresh());
speech.addEventListener("notice", ({ detail: { text, kind } }) => notice(text, kind));
speech.addEventListener("voiceless", ({ detail: { voice } }) => {
  voices.fallBack(voice);
  speech.manner = voices.manner;
});
field.addEventListener("locked", () => notice("That is spoken already. Esc lets you change it.", ""));

async function listVoices() {
  try {
    speech.defaultVoice = await voices.load();
    speech.manner = voices.manner;
  } catch (error) {
    notice(`The voices could not be listed: ${error.message}`, "problem");
  }
}

connection.addEventListener("ready", () => {
  connected();
  listVoices();
});
connection.addEventListener("resumed", connected);
connection.addEventListener("lost", ({ detail: { why } }) => showConnection("lost", why));
connection.addEventListener("locked", ({ detail: { wrong } }) => {
  locked(wrong ? "The key is not one of this server's." : "");
});

// --- the key, where the server demands one ------------------------------------------------------

function connected() {
  showConnection("ready", "Connected");
  element("unlock").hidden = true;
  element("forget-key").hidden = !keptKey();
}

function locked(why) {
  showConnection("lost", "A key is needed");
  element("unlock").hidden = false;
  element("forget-key").hidden = true;
  keyQuestion.ask(why);
}

keyQuestion.addEventListener("given", ({ detail: key }) => {
  showConnection("wait", "Connecting…");
  connection.open(key);
});
element("unlock").addEventListener("click", () => keyQuestion.ask());
element("forget-key").addEventListener("click", () => {
  keep("key", "");
  connection.close();
  locked("");
});

// Browsers let a page sound only once its user has done something.
for (const gesture of ["pointerdown", "keydown"]) {
  document.addEventListener(gesture, () => player.wake(), { capture: true });
}

if (Player.obstacle) notice(Player.obstacle, "problem");
else connection.open(keptKey());
