// A short sound that asks for attention: two rising tones, made here, played as speech is.

const TONES_HZ = [660, 880];
const TONE_S = 0.18;
const LEVEL = 0.5;

/** Its samples (Int16Array) at a rate. */
export function attentionTones(rateHz) {
  const each = Math.round(TONE_S * rateHz);
  const samples = new Int16Array(each * TONES_HZ.length);
  for (let at = 0; at < samples.length; at++) {
    const within = at % each;
    const swell = Math.sin((Math.PI * within) / each); // from silence to silence: no click
    const angle = (2 * Math.PI * TONES_HZ[Math.floor(at / each)] * within) / rateHz;
    samples[at] = 32767 * LEVEL * swell * Math.sin(angle);
  }
  return samples;
}
