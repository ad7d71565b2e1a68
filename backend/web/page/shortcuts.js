// Page-wide keyboard shortcuts; docs/page.md lists them.

/** `tools`: actions of Alt with a key, by key code, and `suggest(number)`. */
export function installShortcuts({ text, field, phrases, history, tools, stop }) {
  text.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    field.say();
  });
  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "Escape" && !event.isComposing) return stop();
    if (event.ctrlKey || event.metaKey) return;
    const nowhere = document.activeElement === document.body && /^[^ ]$/u.test(event.key);
    if (!event.altKey) return nowhere && field.focus(); // typing goes into the text
    const digit = Number(/^Digit([1-9])$/.exec(event.code)?.[1]);
    if (event.code === "KeyR") history.repeat();
    else if (event.code in tools) tools[event.code]();
    else if (event.shiftKey && digit <= 3) tools.suggest(digit);
    else if (digit) phrases.digit(digit);
    else return;
    event.preventDefault();
  });
}
