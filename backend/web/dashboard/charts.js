// Small charts drawn into an <svg>, in its own pixel units.

const SVG = "http://www.w3.org/2000/svg";
const AXIS_PX = 18; // below a chart, for axis labels
const HEAD_PX = 14; // above it, for labels of marks
const CHARACTER_PX = 6; // approximate width of a label character

// Values over time. `points`: [age in seconds, value or null if unknown], oldest first.
export function drawLine(svg, points, { spanS, top, format }) {
  const { width, height } = cleared(svg);
  const floor = height - AXIS_PX;
  const x = (ageS) => width * (1 - ageS / spanS);
  const y = (value) => floor - (Math.min(value, top) / top) * (floor - HEAD_PX);
  for (const run of runs(points)) {
    const line = run.map(([ageS, value]) => `${x(ageS).toFixed(1)},${y(value).toFixed(1)}`).join("L");
    add(svg, "path", { class: "area", d: `M${line}L${x(run.at(-1)[0])},${floor}L${x(run[0][0])},${floor}Z` });
    add(svg, "path", { class: "line", d: `M${line}` });
  }
  rule(svg, HEAD_PX, width);
  rule(svg, floor, width);
  label(svg, format(top), 0, HEAD_PX - 4, "start");
  label(svg, `${Math.round(spanS / 60)} min ago`, 0, height - 4, "start");
  label(svg, "now", width, height - 4, "end");
}

// A histogram of the server's `Distribution`. `ticks`: [value, text] below the bars;
// `marks`: [value, text] above them, with a line; earlier marks win where space is short.
// `goal`: a value or null.
export function drawHistogram(svg, { bounds, counts }, { ticks, marks, goal }) {
  const { width, height } = cleared(svg);
  const floor = height - AXIS_PX;
  const step = width / counts.length;
  const most = Math.max(1, ...counts);
  counts.forEach((count, n) => {
    const size = count ? Math.max(2, (count / most) * (floor - HEAD_PX)) : 0;
    add(svg, "rect", { class: "bar", x: n * step + 1, y: floor - size, width: Math.max(1, step - 2), height: size });
  });
  rule(svg, floor, width);
  const x = (value) => place(value, bounds) * step;
  const line = (value, kind) => add(svg, "line", { class: kind, x1: x(value), x2: x(value), y1: HEAD_PX, y2: floor });
  if (goal !== null) line(goal, "goal");
  for (const [value] of marks) line(value, "mark");
  labels(svg, ticks.map(([value, text]) => [x(value), text]), height - 4, width);
  labels(svg, marks.map(([value, text]) => [x(value), text]), HEAD_PX - 4, width);
}

// The next round number, for the top of a scale.
export function roundedUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((factor) => factor * power).find((each) => each >= value);
}

// The position of a value, in buckets from the left.
function place(value, bounds) {
  const n = bounds.findIndex((bound) => value <= bound);
  if (n < 0) return bounds.length + 0.5;
  const low = n ? bounds[n - 1] : 0;
  return n + (value - low) / (bounds[n] - low);
}

function runs(points) {
  const found = [[]];
  for (const point of points) {
    if (point[1] === null) found.push([]);
    else found.at(-1).push(point);
  }
  return found.filter((run) => run.length > 1);
}

function cleared(svg) {
  const { width, height } = svg.getBoundingClientRect();
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren();
  return { width, height };
}

function rule(svg, y, width) {
  add(svg, "line", { class: "rule", x1: 0, x2: width, y1: y, y2: y });
}

// Labels at these positions, clamped to the chart; overlapping labels are skipped.
function labels(svg, wanted, y, width) {
  const taken = [];
  for (const [x, text] of wanted) {
    const half = (text.length * CHARACTER_PX) / 2;
    const middle = Math.min(Math.max(x, half), width - half);
    if (taken.some(([low, high]) => middle + half > low && middle - half < high)) continue;
    taken.push([middle - half - CHARACTER_PX, middle + half + CHARACTER_PX]);
    label(svg, text, middle, y, "middle");
  }
}

function label(svg, text, x, y, anchor) {
  add(svg, "text", { x, y, "text-anchor": anchor }).textContent = text;
}

function add(svg, name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  svg.append(element);
  return element;
}
