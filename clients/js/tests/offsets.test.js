import assert from "node:assert/strict";
import { test } from "node:test";

import { toPoints, toUnits, toUnitsFrom } from "../src/offsets.js";

const TEXT = "a😀b é🚀🚀 c";

test("positions are converted both ways, from any known one", () => {
  for (let points = 0; points <= [...TEXT].length; points++) {
    const units = [...TEXT].slice(0, points).join("").length;
    assert.equal(toUnits(TEXT, points), units);
    assert.equal(toPoints(TEXT, units), points);
    for (let known = 0; known <= [...TEXT].length; known++) {
      assert.equal(toUnitsFrom({ points: known, units: toUnits(TEXT, known) }, TEXT, points), units);
    }
  }
});

test("positions behind the end are the end", () => {
  assert.equal(toUnits(TEXT, 99), TEXT.length);
  assert.equal(toUnitsFrom({ points: 2, units: 3 }, TEXT, 99), TEXT.length);
});
