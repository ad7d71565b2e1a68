// The last stage before the loudspeaker, on the audio thread.
//
// In:  {type: "audio", samples}, {type: "reset"}, {type: "prebuffer", frames}, {type: "tap", on}
// Out: {type: "state", playing, frame, position}: see JitterBuffer;
//      {type: "tap", frame, samples}: a copy of what was rendered, for tests.

import { JitterBuffer } from "./jitter_buffer.js";

class RingPlayer extends AudioWorkletProcessor {
  constructor() {
    super();
    this.buffer = new JitterBuffer(sampleRate, (state) => {
      this.port.postMessage({ type: "state", ...state });
    });
    this.tap = false;
    this.port.onmessage = ({ data }) => this.receive(data);
  }

  receive(message) {
    if (message.type === "audio") this.buffer.write(message.samples);
    else if (message.type === "prebuffer") this.buffer.prebuffer = message.frames;
    else if (message.type === "tap") this.tap = message.on;
    else if (message.type === "reset") this.buffer.reset(currentFrame);
  }

  process(_inputs, [[output]]) {
    this.buffer.render(output, currentFrame);
    if (this.tap) {
      this.port.postMessage({ type: "tap", frame: currentFrame, samples: output.slice() });
    }
    return true;
  }
}

registerProcessor("ring-player", RingPlayer);
