// Scrolls to what is playing, unless the user is looking at, or writing, something else.

const LEFT_ALONE_MS = 4000; // after a scroll or an edit

export class View {
  #calmAt = new WeakMap(); // by scrolling element: when it may be scrolled again
  #own = new WeakMap(); // by scrolling element: the position this module scrolled to

  /** The user scrolls or writes in `element`. */
  watch(element) {
    element.addEventListener("scroll", () => {
      if (this.#own.get(element) !== element.scrollTop) this.leave(element);
    });
  }

  leave(element) {
    this.#calmAt.set(element, performance.now() + LEFT_ALONE_MS);
  }

  /** Keep what is playing in the place in view. */
  follow({ node, now }, scroller) {
    if (!now || performance.now() < (this.#calmAt.get(scroller) ?? 0)) return;
    if (scroller.scrollHeight <= scroller.clientHeight) return;
    const range = document.createRange();
    range.setStart(node, Math.min(now.from, node.length));
    range.setEnd(node, Math.min(now.to, node.length));
    const word = range.getBoundingClientRect();
    const frame = scroller.getBoundingClientRect();
    if (word.top >= frame.top && word.bottom <= frame.bottom) return;
    scroller.scrollTop += word.top - frame.top - frame.height / 3;
    this.#own.set(scroller, scroller.scrollTop);
  }
}
