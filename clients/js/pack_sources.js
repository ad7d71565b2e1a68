// npm packs no links: `src`, a link to the sources in the server's page, becomes a copy before `npm pack` and
// `npm publish` (`copy`), and a link again afterwards (`link`).

import { cpSync, rmSync, symlinkSync } from "node:fs";
import { fileURLToPath } from "node:url";

const TARGET = "../../backend/web/client";
const src = fileURLToPath(new URL("src", import.meta.url));

rmSync(src, { recursive: true, force: true });
if (process.argv[2] === "copy") cpSync(fileURLToPath(new URL(TARGET, import.meta.url)), src, { recursive: true });
else symlinkSync(TARGET, src, "dir");
