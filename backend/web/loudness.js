// What can be heard. The server means the same by it: see backend/loudness.py.

const AUDIBLE = 10 ** (-45 / 10); // -45 dBFS, as the mean square of samples from -1 to 1
const WINDOW_S = 0.005;
const FULL = 32768;

/** How many samples there are before the first 5 ms that can be heard; null where there are none. */
export function audibleFrom(chunks, rate) {
  const size = Math.floor(WINDOW_S * rate);
  let energy = 0;
  let at = 0;
  for (const chunk of chunks) {
    for (const sample of chunk) {
      energy += (sample / FULL) ** 2;
      if (++at % size) continue;
      if (energy / size > AUDIBLE) return at - size;
      energy = 0;
    }
  }
  return null;
}
