// The number of the sample that leaves the loudspeaker now, from an AudioContext's clock and the frames at
// which the jitter buffer started and stopped playing.

export class AudioClock {
  #anchors = [{ playing: false, frame: 0, position: 0 }];

  /** The jitter buffer started or stopped playing; see JitterBuffer. */
  add(state, context) {
    this.#anchors.push(state);
    const heard = heardFrame(context);
    while (this.#anchors.length > 1 && this.#anchors[1].frame <= heard) this.#anchors.shift();
  }

  /** The number of the sample heard now, from 0 to `written`. */
  heard(context, written) {
    const frame = heardFrame(context);
    const anchor = this.#anchors.findLast((one) => one.frame <= frame) ?? this.#anchors[0];
    const since = anchor.playing ? frame - anchor.frame : 0;
    return Math.min(Math.max(anchor.position + since, 0), written);
  }
}

function heardFrame(context) {
  if (!context) return 0; // it is being recreated
  const { contextTime, performanceTime } = outputTime(context);
  const since = Math.max(0, performance.now() - performanceTime) / 1000;
  return Math.min(contextTime + since, context.currentTime) * context.sampleRate;
}

/** The context time that leaves the loudspeaker at a performance.now() time. */
function outputTime(context) {
  const stamp = context.getOutputTimestamp?.();
  if (stamp?.contextTime > 0 && stamp.performanceTime > 0) return stamp;
  const latency = context.outputLatency || context.baseLatency || 0;
  return { contextTime: context.currentTime - latency, performanceTime: performance.now() };
}
