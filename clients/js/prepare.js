// Puts the sources into the package. They live in the server's page, which uses the same files.
// npm runs this before `npm pack`, `npm publish` and after `npm install` here.

import { cpSync, existsSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const SOURCES = fileURLToPath(new URL("../../backend/web/client/", import.meta.url));
const COPY = fileURLToPath(new URL("src/", import.meta.url));

if (!existsSync(SOURCES)) throw new Error(`${SOURCES} is missing: run this in a checkout of duplex-tts`);
rmSync(COPY, { recursive: true, force: true });
cpSync(SOURCES, COPY, { recursive: true });
