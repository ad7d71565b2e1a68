// The dashboard: polls /v1/status once a second while visible and shows the answer: of one server,
// or of a cluster the sum of its replicas or the one that is chosen.

import { drawHistogram, drawLine, roundedUp } from "./charts.js";
import { showErrorCodes, showGapCauses, showReplicas, showSessions } from "./lists.js";
import { KeyQuestion, keptKey, keyHeaders } from "../shared/key.js";

const PERIOD_MS = 1000;
const PATIENCE_MS = 4000;
const SPAN_S = 120; // time span of the charts and of "lately"
const SMOOTH_S = 4.5; // averaging window for rates: speech is made in bursts
const GAP_S = 3; // without an answer for this long, values in between are unknown

const byId = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");
const samples = []; // answers of the last SPAN_S, each with the rates since the previous answer
const keyQuestion = new KeyQuestion();
let timer = 0;
let chosen = ""; // the replica that is shown; "": all

// --- polling -------------------------------------------------------------------------------------

async function poll() {
  clearTimeout(timer);
  try {
    const asked = chosen;
    const answer = await fetch(asked ? `v1/status?replica=${encodeURIComponent(asked)}` : "v1/status", {
      headers: keyHeaders(),
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    if (answer.status === 401) return locked();
    if (asked !== chosen) return poll();
    if (answer.status === 404 && asked) return choose(""); // the replica is gone
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    remember(viewOf(await answer.json()));
    show(samples.at(-1));
    say("live", samples.at(-1).accepting ? "Live" : "Shutting down");
  } catch {
    say("lost", "No answer from the server; trying again");
  }
  clearTimeout(timer); // of a poll started concurrently
  if (!document.hidden) timer = setTimeout(poll, PERIOD_MS);
}

// What is shown of an answer. The sum has no clock of its own: the next answer may be of another
// replica, whose clock differs.
function viewOf(answer) {
  const { cluster } = answer;
  if (!cluster?.replicas.length || !cluster.sum.engine) return { ...answer, cluster: null, view: "" };
  if (chosen) {
    const sessions = answer.sessions?.map((each) => ({ ...each, replica: answer.replica })) ?? null;
    return { ...answer, sessions, view: `replica ${chosen}` };
  }
  const view = cluster.replicas.map((each) => each.id).join();
  return { ...cluster.sum, cluster, view, time_s: performance.now() / 1000 };
}

function choose(replica) {
  chosen = replica;
  poll();
}

function remember(status) {
  const last = samples.at(-1);
  if (last?.view === status.view && last.time_s === status.time_s) {
    samples[samples.length - 1] = { ...last, cluster: status.cluster }; // no newer report yet
    return;
  }
  // The server restarted, or others are counted now.
  if (last && (status.uptime_s < last.uptime_s || last.view !== status.view)) samples.length = 0;
  const follows = samples.length > 0 && status.time_s - last.time_s < GAP_S;
  status.run = follows ? last.run : status.time_s; // equal for consecutive answers without a gap
  const before = samples.find((each) => each.run === status.run && each.time_s >= status.time_s - SMOOTH_S);
  const passedS = before && status.time_s - before.time_s;
  const rate = (name) => (status.figures[name] - before.figures[name]) / passedS;
  status.audioRate = passedS ? rate("audio_s") : null;
  status.busy = passedS ? Math.min(1, rate("compute_s") / status.engine.threads) : null;
  samples.push(status);
  while (samples[0].time_s < status.time_s - SPAN_S) samples.shift();
}

/** The server demands a different key: polling stops until one is entered. */
function locked() {
  say("lost", "A key is needed");
  byId("enter-key").hidden = false;
  keyQuestion.ask(keptKey() ? "The key is not one of this server's." : "");
}

function say(state, words) {
  const link = byId("link");
  document.documentElement.dataset.link = state;
  link.dataset.state = state;
  if (link.textContent !== words) link.textContent = words;
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else poll();
});

// --- rendering -----------------------------------------------------------------------------------

function show(status) {
  const { cluster, engine, figures } = status;
  write("server", [
    cluster ? (chosen ? `replica ${chosen}` : `${number.format(cluster.replicas.length)} replicas`) : "",
    `${engine.name}, voice ${engine.voice}`,
    `up ${duration(status.uptime_s)}`,
    figures.memory_bytes ? `${number.format(Math.round(figures.memory_bytes / 1e6))} MB` : "",
    engine.device ? memoryOf(engine) : "",
  ].filter(Boolean).join(" · "));
  const unsent = status.messages_waiting;
  tile("connections", figures.connections, unsent ? `${number.format(unsent)} to be sent` : "all is sent");
  tile("contexts", figures.contexts, `${number.format(engine.waiting)} queued`);
  tile("waiting", status.text_waiting, "characters");
  tile("rtf", engine.rtf ? engine.rtf.toFixed(3) : "–", engine.rtf ? `${number.format(Math.round(1 / engine.rtf))} × real time` : "nothing spoken yet");
  countTile("underruns", (each) => each.figures.underruns, true);
  countTile("cancels", (each) => each.figures.cancels, false);
  countTile("errors", (each) => sum(each.figures.errors), true);
  showCharts(status);
  showErrorCodes(figures.errors, (code) => lately((each) => each.figures.errors[code] ?? 0));
  showGapCauses(figures.gaps, (cause) => lately((each) => each.figures.gaps[cause].count));
  showReplicas(cluster, chosen);
  showSessions(status.sessions, status.session_count);
}

function showCharts(status) {
  const { engine, figures } = status;
  showSpread("first-sound", "First sound", figures.first_sound_s, {
    goal: status.ttfa_goal_s,
    ticks: [0.01, 0.05, 0.5, 2, 0.1, 0.2],
    quantiles: ["p95", "p50"],
    windowS: status.window_s,
  });
  showSpread("lag", "Event-loop lag", figures.loop_lag_s, {
    goal: null,
    ticks: [0.002, 0.01, 0.05, 0.2, 1],
    quantiles: ["p95"],
    windowS: status.window_s,
  });
  const audio = status.audioRate === null ? "–" : `${status.audioRate.toFixed(1)} s`;
  tile("audio", audio, "a second");
  const most = Math.max(1, ...samples.map((each) => each.audioRate ?? 0));
  showCourse("audio", "Audio per second", audio, (each) => each.audioRate, {
    top: roundedUp(most),
    format: (value) => `${number.format(value)} s`,
  });
  const busy = status.busy === null ? "–" : `${Math.round(100 * status.busy)} % of ${engine.threads} busy`;
  showCourse("busy", "Engine threads", busy, (each) => each.busy, {
    top: 1,
    format: (share) => `${Math.round(100 * share)} %`,
  });
}

function showSpread(id, name, spread, { goal, ticks, quantiles, windowS }) {
  const marks = spread.count ? quantiles.map((each) => [spread[each], each]) : [];
  const figure = marks.map(([value, each]) => `${each} ${time(value)}`).reverse().join(" · ") || "none lately";
  write(`${id}-figure`, figure);
  const chart = byId(`${id}-chart`);
  describe(chart, `${name}, last ${Math.round(windowS / 60)} minutes: ${figure}, of ${number.format(spread.count)}`);
  const scale = ticks.map((value) => [value, time(value)]);
  const goalTick = goal === null ? [] : [[goal, `goal ${time(goal)}`]];
  drawHistogram(chart, spread, { marks, goal, ticks: [...goalTick, ...scale] });
}

function showCourse(id, name, figure, value, { top, format }) {
  write(`${id}-figure`, figure);
  const chart = byId(`${id}-chart`);
  describe(chart, `${name}, last ${SPAN_S / 60} minutes: now ${figure}`);
  const now = samples.at(-1).time_s;
  drawLine(chart, samples.map((each) => [now - each.time_s, value(each)]), { spanS: SPAN_S, top, format });
}

function tile(id, figure, note, alert = false) {
  write(id, typeof figure === "number" ? number.format(figure) : figure);
  write(`${id}-note`, note);
  byId(id).parentElement.classList.toggle("alert", alert);
}

// A counter; notes recent growth, and warns of it if it `matters`.
function countTile(id, figure, matters) {
  const grown = lately(figure);
  const note = grown ? `${number.format(grown)} in ${SPAN_S / 60} min` : "since the start";
  tile(id, figure(samples.at(-1)), note, matters && grown > 0);
}

function write(id, text) {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
}

function describe(chart, text) {
  chart.setAttribute("aria-label", text);
}

// --- text ----------------------------------------------------------------------------------------

// Growth of a counter over the samples held.
function lately(figure) {
  return figure(samples.at(-1)) - figure(samples[0]);
}

function sum(counts) {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}

// Of the GPU that the engine runs on.
function memoryOf({ device, memory, loaded }) {
  const [used, total] = [device.memory_used_bytes, device.memory_total_bytes].map((each) => (each / 1e9).toFixed(1));
  const slots = memory ? `, ${memory.slots_used} of ${memory.slots_total} slots` : "";
  return `${device.name}: ${used} of ${total} GB${loaded === false ? ", weights unloaded" : slots}`;
}

function time(seconds) {
  if (seconds >= 1) return `${Number(seconds.toFixed(1))} s`;
  const ms = 1000 * seconds;
  return `${ms >= 10 ? Math.round(ms) : Number(ms.toFixed(1))} ms`;
}

function duration(seconds) {
  const whole = Math.floor(seconds);
  const [days, hours, minutes] = [86400, 3600, 60].map((unit) => Math.floor(whole / unit));
  if (days) return `${days} d ${hours % 24} h`;
  if (hours) return `${hours} h ${minutes % 60} min`;
  if (minutes) return `${minutes} min ${whole % 60} s`;
  return `${whole} s`;
}

new ResizeObserver(() => samples.length && showCharts(samples.at(-1))).observe(document.querySelector(".charts"));
document.addEventListener("session-ended", poll);
document.addEventListener("replica-chosen", ({ detail }) => choose(detail));
keyQuestion.addEventListener("given", poll);
byId("enter-key").addEventListener("click", () => keyQuestion.ask());
poll();
