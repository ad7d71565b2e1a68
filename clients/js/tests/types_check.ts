// Compiled by `tsc --strict`, never run: how the types are used, and what they refuse.

import {
  type Audio,
  type Playback,
  type WebSocketConstructor,
  ClientError,
  Player,
  Refused,
  Session,
  SpeechFailed,
  wav,
} from "duplex-tts";

declare const Socket: WebSocketConstructor;
declare const openai: AsyncIterable<{ choices: { delta: { content?: string | null } }[] }>;

export async function useSession(): Promise<Blob> {
  const session = await Session.connect("http://127.0.0.1:8000", { key: "k", WebSocket: Socket });
  session.addEventListener("lost", ({ detail }) => detail.why.toUpperCase());
  const chunks: Int16Array<ArrayBuffer>[] = [];
  for await (const audio of session.speak(openai, { voice: "heart", speed: 1.2 })) {
    if (audio.samples) chunks.push(audio.samples);
    const seconds: number = audio.durationMs / 1000;
    if (seconds > 60) break;
  }
  const written = session.speak(undefined, { typing: "word" });
  written.append("Hello");
  const kept: number = await written.retract(2);
  written.update("Hey".slice(kept));
  written.end();
  const { cancelled, textTo } = await written.done();
  if (cancelled) written.text.slice(textTo);
  return wav(chunks, session.ready.sampleRate);
}

export async function usePlayer(session: Session): Promise<string> {
  const player = new Player();
  const playback: Playback = player.play(session.speak("Hi."), { onWord: ({ text }) => text.trim() });
  player.paused = true;
  player.stop();
  return (await playback.done()).heardText;
}

export function report(error: unknown): string {
  if (error instanceof SpeechFailed) return error.errors.map(({ code }) => code).join();
  if (error instanceof Refused) return `${error.code} ${error.retryAfterMs ?? ""}`;
  return error instanceof ClientError ? error.code : "";
}

export async function misuse(session: Session, audio: Audio): Promise<void> {
  // @ts-expect-error: the wire's names are not those of this package
  session.speak("Hi", { sample_rate: 8000 });
  // @ts-expect-error: not a text
  session.speak(7);
  // @ts-expect-error: there is no such mode
  session.speak("Hi", { mode: "fast" });
  // @ts-expect-error: other formats have no samples
  audio.samples.length;
  // @ts-expect-error: use Session.connect
  new Session();
}
