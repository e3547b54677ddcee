// @ts-check
// Open the notes of this pack's workflow files in the language of the page.
import { app } from "../../../../scripts/app.js";
import { translateNotes } from "../i18n/notes.js";

app.registerExtension({
  name: "MemFlow.Notes",

  // the graph is the front end's own copy of what is opened, and what is made of it is what the workflow began as
  beforeConfigureGraph(graph) {
    translateNotes(graph, app.extensionManager.setting.get("Comfy.Locale"));
  },
});
