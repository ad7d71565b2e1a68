// The dashboard's lists: replicas of a cluster, each with a button to show it alone, open sessions,
// each with a button to end it, gaps by cause, and errors by code.
// Rows are reused between answers, so that the focus is kept.

import { keptKey, keyHeaders } from "../shared/key.js";

const SHOWN = 200; // rows; longer lists are unreadable

const byId = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");
let asked = ""; // the session that the dialog is about

// `cluster`: null for a server alone. `chosen`: the id of the replica shown, "" for their sum.
export function showReplicas(cluster, chosen) {
  document.documentElement.toggleAttribute("data-cluster", cluster !== null);
  document.querySelector(".replicas").hidden = cluster === null;
  if (cluster === null) return;
  const rows = cluster.replicas.map((each) => [each.id, cellsOf(each)]);
  update(byId("replicas"), [["", cellsOfAll(cluster)], ...rows], showButton, byId("replicas-title"));
  for (const row of byId("replicas").rows) {
    const isShown = row.dataset.key === chosen;
    if (isShown) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
    row.querySelector("button").setAttribute("aria-pressed", String(isShown));
  }
}

function cellsOf(replica) {
  return [
    replica.id,
    stateOf(replica),
    shareOf(replica.share),
    replica.first_wait_s === null ? "full" : `${replica.first_wait_s.toFixed(2)} s`,
    count(replica.free_slots),
    count(replica.connections),
    count(replica.contexts),
    typeof replica.first_sound_p95_s === "number" ? `${Math.round(1000 * replica.first_sound_p95_s)} ms` : "–",
    count(replica.underruns),
    count(replica.errors),
  ];
}

// The sum of what can be added; the shortest wait, and the mean of the shares taken.
function cellsOfAll({ replicas, sum }) {
  const total = (name) => replicas.reduce((all, each) => all + (each[name] ?? 0), 0);
  const known = (name) => replicas.map((each) => each[name]).filter((each) => typeof each === "number");
  const shares = known("share");
  return cellsOf({
    id: "All",
    accepting: replicas.some((each) => each.accepting),
    share: shares.length ? shares.reduce((all, each) => all + each, 0) / shares.length : null,
    first_wait_s: known("first_wait_s").length ? Math.min(...known("first_wait_s")) : null,
    free_slots: total("free_slots"),
    connections: total("connections"),
    contexts: total("contexts"),
    first_sound_p95_s: sum.figures?.first_sound_s?.p95,
    underruns: total("underruns"),
    errors: total("errors"),
  });
}

function stateOf({ draining, accepting, first_wait_s }) {
  if (draining) return "draining";
  if (!accepting) return "not accepting";
  return first_wait_s === null ? "full" : "ready";
}

function shareOf(share) {
  return share === null ? "–" : `${Math.round(100 * share)} %`;
}

function count(value) {
  return typeof value === "number" ? number.format(value) : "–";
}

function showButton(id) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Show";
  button.setAttribute("aria-label", id ? `Show replica ${id}` : "Show all replicas");
  button.addEventListener("click", () => {
    document.dispatchEvent(new CustomEvent("replica-chosen", { detail: id }));
  });
  return button;
}

// `sessions`: null if the user may not see them. `total`: of them, if not all are given.
export function showSessions(sessions, total = sessions?.length) {
  const shown = (sessions ?? []).slice(0, SHOWN);
  update(byId("sessions"), shown.map((each) => [
    each.id,
    [
      each.id,
      each.detached_s === null ? watch(each.age_s) : `away ${watch(each.detached_s)}`,
      typingOf(each.typing),
      number.format(each.contexts),
      number.format(each.characters),
      number.format(each.characters_waiting),
      `${each.buffered_s.toFixed(1)} s`,
      gapsOf(each.gaps),
      each.replica ?? "–",
    ],
  ]), endButton, byId("sessions-title"));
  byId("sessions-note").textContent = sessionsNote(sessions, total);
  byId("enter-key").hidden = sessions !== null || !keptKey();
}

// `lately`: a function from a cause to its recent count.
export function showGapCauses(gaps, lately) {
  update(byId("gap-causes"), Object.entries(gaps).map(([cause, { count, seconds }]) => [
    cause,
    [cause, number.format(lately(cause)), number.format(count), `${number.format(Number(seconds.toFixed(1)))} s`],
  ]));
}

// `lately`: a function from a code to its recent count.
export function showErrorCodes(counts, lately) {
  const codes = Object.entries(counts).sort(([a, n], [b, m]) => m - n || a.localeCompare(b));
  update(byId("error-codes"), codes.map(([code, count]) => [
    code,
    [code, number.format(lately(code)), number.format(count)],
  ]));
  byId("error-codes-note").textContent = codes.length ? "" : "None since the start.";
}

// A session's gaps by cause, most frequent first.
function gapsOf(counts) {
  const causes = Object.entries(counts).sort(([, n], [, m]) => m - n);
  return causes.map(([cause, count]) => `${number.format(count)} ${cause}`).join(", ") || "0";
}

// How the text of its open contexts is segmented.
function typingOf(modes) {
  return modes?.length ? modes.join(", ") : "–";
}

function sessionsNote(sessions, total) {
  if (sessions === null && keptKey()) return "This key shows no sessions; an admin's does.";
  if (sessions === null) return "Sessions are shown on the server's own machine only.";
  if (!sessions.length) return "Nobody is connected.";
  const shown = Math.min(sessions.length, SHOWN);
  return total > shown ? `and ${number.format(total - shown)} more` : "";
}

// Hours, minutes and seconds, as on a stopwatch.
function watch(seconds) {
  const two = (value) => String(Math.floor(value)).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  return `${hours ? `${hours}:${two(minutes)}` : minutes}:${two(seconds % 60)}`;
}

// Set the rows of `body`: [key, cell texts]. `last` creates a last cell for a key; if the focused
// row is removed, the focus moves to `heir`.
function update(body, rows, last, heir) {
  const keys = new Set(rows.map(([key]) => key));
  for (const row of [...body.rows].filter((each) => !keys.has(each.dataset.key))) {
    if (row.contains(document.activeElement)) heir?.focus();
    row.remove();
  }
  const old = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  rows.forEach(([key, texts], n) => {
    const row = old.get(key) ?? newRow(body, key, texts.length, last);
    if (body.rows[n] !== row) body.insertBefore(row, body.rows[n]);
    texts.forEach((text, cell) => {
      if (row.cells[cell].textContent !== text) row.cells[cell].textContent = text;
    });
  });
}

function newRow(body, key, cells, last) {
  const row = body.insertRow();
  row.dataset.key = key;
  row.append(Object.assign(document.createElement("th"), { scope: "row" }));
  for (let n = 1; n < cells; n++) row.insertCell();
  if (last) row.insertCell().append(last(key));
  // Explicit role: browsers do not treat a table laid out as cards as a table.
  row.role = "row";
  const names = [...body.closest("table").tHead.rows[0].cells].map((each) => each.textContent);
  [...row.cells].forEach((cell, n) => {
    cell.role = n === 0 ? "rowheader" : "cell";
    cell.dataset.name = names[n];
  });
  return row;
}

// --- ending a session ----------------------------------------------------------------------------

function endButton(id) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "End";
  button.setAttribute("aria-label", `End session ${id}`);
  button.addEventListener("click", () => {
    asked = id;
    byId("confirm-id").textContent = id;
    byId("confirm").returnValue = "keep";
    byId("confirm").showModal();
  });
  return button;
}

byId("confirm").addEventListener("close", async () => {
  if (byId("confirm").returnValue !== "end") return;
  byId("news").textContent = await end(asked);
  document.dispatchEvent(new Event("session-ended"));
});

async function end(id) {
  try {
    const answer = await fetch(`v1/sessions/${encodeURIComponent(id)}`, {
      method: "DELETE",
      headers: keyHeaders(),
    });
    if (answer.ok) return `Session ${id} was ended.`;
    const { detail } = await answer.json();
    return `Session ${id} was not ended: ${detail}.`;
  } catch {
    return `Session ${id} was not ended: no answer from the server.`;
  }
}
