// Highlights words without changing the document: CSS highlights cover the existing text,
// so there is no new layout and no way to inject markup.

const NAMES = ["heard", "now", "coming", "unread"];

/** A place that shows text, and its speech progress; positions are UTF-16 units of that text. */
export class Place {
  spoken = 0; // text before this is spoken: it can no longer change
  heard = 0;
  now = null; // {from, to}: what is playing now
  unread = []; // {from, to}: text that the voice cannot read, and that was not heard

  constructor(node) {
    this.node = node;
  }

  /** Copy the player's state of one of its takes. */
  follow(take, ms) {
    const { heard, now } = take.at(ms);
    if (heard > 0) this.heard = Math.max(this.heard, take.base + heard);
    if (now) this.now = { from: take.base + now.from, to: take.base + now.to };
  }

  /** The take accounts for more text: it is fixed, and its parts without audio are not heard. */
  account(take) {
    this.spoken = Math.max(this.spoken, take.base + take.spoken);
    const known = this.unread.at(-1)?.to ?? 0;
    for (const { from, to } of take.silent) {
      if (take.base + to > known) this.unread.push({ from: take.base + from, to: take.base + to });
    }
  }
}

export class Highlighter {
  #painted = "";
  #highlights;

  constructor() {
    this.#highlights = globalThis.Highlight && NAMES.map(() => new Highlight());
    this.#highlights?.forEach((highlight, at) => CSS.highlights.set(NAMES[at], highlight));
  }

  /** Show the speech progress of these places. */
  paint(places) {
    if (!this.#highlights) return;
    const spans = places.flatMap(spansOf);
    // Most frames change nothing.
    const key = spans.map(({ name, from, to }) => `${name}${from}-${to}`).join();
    if (key === this.#painted) return;
    this.#painted = key;
    for (const highlight of this.#highlights) highlight.clear();
    for (const { name, node, from, to } of spans) {
      this.#highlights[NAMES.indexOf(name)].add(range(node, from, to));
    }
  }
}

function spansOf({ node, heard, now, spoken, unread }) {
  const until = now?.from ?? heard;
  const words = node.data.slice(0, spoken).trimEnd().length; // trailing spaces are not underlined
  const begin = now?.to ?? heard;
  const spans = unread.map((span) => ({ name: "unread", node, ...span }));
  let from = 0;
  for (const gap of [...unread, { from: until, to: until }]) {
    spans.push({ name: "heard", node, from, to: Math.min(gap.from, until) });
    from = gap.to;
  }
  spans.push({ name: "coming", node, from: begin + node.data.slice(begin).search(/\S|$/), to: words });
  if (now) spans.push({ name: "now", node, ...now });
  return spans.filter(({ from, to }) => from < Math.min(to, node.length));
}

function range(node, from, to) {
  // Static: a live range would collapse to the start with every new text of the node.
  return new StaticRange({
    startContainer: node,
    startOffset: Math.min(from, node.length),
    endContainer: node,
    endOffset: Math.min(to, node.length),
  });
}
