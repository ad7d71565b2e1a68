// The voices with their parts of the page.

import { NewVoice } from "./voice_recorder.js";
import { Voices } from "./voices.js";

const element = (id) => document.getElementById(id);

/** Returns {voices, newVoice}. */
export function createVoicePanel() {
  const voices = new Voices({
    list: element("voices"),
    note: element("voices-note"),
    learning: element("new-voice"),
    find: element("find-voice"),
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
  return { voices, newVoice };
}
