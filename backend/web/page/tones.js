// An attention sound: two rising tones, synthesized here and played like speech.

const TONES_HZ = [660, 880];
const TONE_S = 0.18;
const LEVEL = 0.5;

/** Its samples (Int16Array) at a sample rate. */
export function attentionTones(rateHz) {
  const each = Math.round(TONE_S * rateHz);
  const samples = new Int16Array(each * TONES_HZ.length);
  for (let at = 0; at < samples.length; at++) {
    const within = at % each;
    const swell = Math.sin((Math.PI * within) / each); // fade in and out: no click
    const angle = (2 * Math.PI * TONES_HZ[Math.floor(at / each)] * within) / rateHz;
    samples[at] = 32767 * LEVEL * swell * Math.sin(angle);
  }
  return samples;
}
