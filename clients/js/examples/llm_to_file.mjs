// Speaks a language model's answer while it is written, and writes it to a WAV file.
//
//   npm install duplex-tts ws      (Node 22 has its own WebSocket: ws is not needed)
//   node llm_to_file.mjs answer.wav
//
// The model here is a stand-in that writes 30 tokens a second; put any stream of strings, or that of an
// OpenAI or Anthropic client, in its place.

import { writeFile } from "node:fs/promises";

import { Session, wav } from "duplex-tts";

async function* model() {
  const answer = "The sky is blue because air scatters blue light more than red light. At dusk it is the other way.";
  for (const token of answer.match(/\s?\S{1,4}/g)) {
    await new Promise((go) => setTimeout(go, 1000 / 30));
    yield token;
  }
}

const [file = "answer.wav", url] = process.argv.slice(2);
const WebSocket = globalThis.WebSocket ?? (await import("ws")).default;
const session = await Session.connect(url, { WebSocket });
try {
  const utterance = session.speak(model());
  const chunks = [];
  for await (const audio of utterance) {
    chunks.push(audio.samples);
    console.log(`${(audio.startMs / 1000).toFixed(2)} s  ${audio.text}`);
  }
  const sound = wav(chunks, session.ready.sampleRate);
  await writeFile(file, Buffer.from(await sound.arrayBuffer()));
  const seconds = (utterance.audioMs / 1000).toFixed(1);
  console.log(`${file}: ${seconds} s of speech, the first sound after ${Math.round(utterance.ttfaMs)} ms`);
} finally {
  session.close();
}
