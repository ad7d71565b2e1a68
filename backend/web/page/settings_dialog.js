// The settings dialog, except its sliders and voices.

import { exportAll, importAll } from "./backup.js";
import { keep, recall } from "../shared/store.js";

const element = (id) => document.getElementById(id);

/** `kept`: the parts of the backup file, by name. */
export function installSettingsDialog({ kept, notice, back }) {
  const dialog = element("settings");
  element("open-settings").addEventListener("click", () => dialog.showModal());
  element("close-settings").addEventListener("click", () => back(() => dialog.close()));
  for (const one of [dialog, element("phrase-dialog")]) {
    one.addEventListener("close", () => back(() => {}));
  }
  const large = element("large-buttons");
  const showLarge = () => document.documentElement.toggleAttribute("data-large", large.checked);
  large.checked = recall("large", false);
  large.addEventListener("change", () => {
    keep("large", large.checked);
    showLarge();
  });
  showLarge();
  element("export").addEventListener("click", () => exportAll(kept));
  element("import").addEventListener("change", async ({ target }) => {
    try {
      const undo = await importAll(target.files[0], kept);
      dialog.close();
      notice.show("The file is loaded.", "", { label: "Undo", act: undo });
    } catch (error) {
      element("import-status").textContent = `Nothing was changed: ${error.message}`;
    }
    target.value = "";
  });
}
