// Shows the speech progress of all texts, and keeps what is playing in view.

import { Highlighter } from "./highlight.js";
import { View } from "./view.js";

const SHOWN_AFTER_MS = 16; // painting is visible one frame later: paint this far ahead

export class Painter {
  #speech;
  #player;
  #field;
  #paper;
  #highlighter = new Highlighter();
  #view = new View();
  #unread = new Set(); // places with words that were not heard: they stay marked

  /** `paper`: scrolls the field's text. */
  constructor({ speech, player, field, paper }) {
    this.#speech = speech;
    this.#player = player;
    this.#field = field;
    this.#paper = paper;
    this.#view.watch(paper);
    for (const type of ["tick", "rest"]) player.addEventListener(type, () => this.paint());
    field.addEventListener("changed", () => {
      this.#view.leave(paper);
      this.paint();
    });
  }

  paint() {
    const takes = this.#speech.atHand;
    for (const { place } of takes) if (place.unread.length > 0) this.#unread.add(place);
    const places = new Set([this.#field.place, ...this.#unread, ...takes.map((take) => take.place)]);
    for (const place of places) place.now = null;
    for (const take of takes) take.place.follow(take, this.#player.heardMs(take.track) + SHOWN_AFTER_MS);
    this.#highlighter.paint([...places]);
    for (const place of places) {
      const parent = place.node.parentElement;
      const scroller = this.#paper.contains(parent) ? this.#paper : parent?.closest("li p");
      if (scroller) this.#view.follow(place, scroller);
    }
  }
}
