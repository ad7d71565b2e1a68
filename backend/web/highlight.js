// Lights up words without touching the document: CSS highlights lie over the text that is there,
// so nothing is laid out anew and nothing can be inserted.

const NAMES = ["heard", "now", "coming"];

/** Where a text is shown, and how far its speech is; positions are UTF-16 units of that text. */
export class Place {
  spoken = 0; // what lies before is spoken: it can no longer change
  heard = 0;
  now = null; // {from, to}: what sounds at this moment

  constructor(node) {
    this.node = node;
  }

  /** Take over what the player knows of one of its takes. */
  follow(take, ms) {
    const { heard, now } = take.at(ms);
    if (heard > 0) this.heard = Math.max(this.heard, take.base + heard);
    if (now) this.now = { from: take.base + now.from, to: take.base + now.to };
  }
}

export class Highlighter {
  #painted = "";
  #highlights;

  constructor() {
    this.#highlights = globalThis.Highlight && NAMES.map(() => new Highlight());
    this.#highlights?.forEach((highlight, at) => CSS.highlights.set(NAMES[at], highlight));
  }

  /** Show how far the speech of these places is. */
  paint(places) {
    if (!this.#highlights) return;
    const spans = places.flatMap(spansOf);
    // Most frames change nothing.
    const key = spans.map(({ name, from, to }) => `${name}${from}-${to}`).join();
    if (key === this.#painted) return;
    this.#painted = key;
    const [heard, now, coming] = this.#highlights;
    const byName = { heard, now, coming };
    this.#highlights.forEach((highlight) => highlight.clear());
    for (const { name, node, from, to } of spans) byName[name].add(range(node, from, to));
  }
}

function spansOf({ node, heard, now, spoken }) {
  const until = now?.from ?? heard;
  const spans = [
    { name: "heard", node, from: 0, to: until },
    { name: "coming", node, from: now?.to ?? heard, to: spoken },
  ];
  if (now) spans.push({ name: "now", node, ...now });
  return spans.filter(({ from, to }) => from < Math.min(to, node.length));
}

function range(node, from, to) {
  // Static: a live range would be thrown back to the start by every new text of the node.
  return new StaticRange({
    startContainer: node,
    startOffset: Math.min(from, node.length),
    endContainer: node,
    endOffset: Math.min(to, node.length),
  });
}
