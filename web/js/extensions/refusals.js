// @ts-check
// Say why a run of MemFlow's nodes was refused or ended: the front end's own message says only that it was.
import { api } from "../../../../scripts/api.js";
import { app } from "../../../../scripts/app.js";
import { say, sayError } from "../i18n/say.js";
import { findEventNode, rootOf } from "../lib/graph.js";

// the class that all errors of this pack's nodes have, as the server names it
const OURS = "MemFlow";
const SHOWN_MS = 20_000;

/**
 * Show a sentence, with the name of the node that it is about.
 * @param {{node: ComfyId, workflow?: string | null}} about @param {string} why
 */
function show(about, why) {
  const node = findEventNode(rootOf(app.graph), about);
  app.extensionManager.toast.add({
    severity: "error",
    summary: node?.title ? say("{0} cannot run", node.title) : say("A node cannot run"),
    detail: sayError(why),
    life: SHOWN_MS,
  });
}

app.registerExtension({
  name: "MemFlow.Refusals",

  setup() {
    // before anything has run
    api.addEventListener("memflow.refused", ({ detail }) => show(detail, detail.why));
    api.addEventListener("execution_error", ({ detail }) => {
      if (detail.exception_type === OURS) show({ node: detail.node_id }, detail.exception_message);
    });
  },
});
