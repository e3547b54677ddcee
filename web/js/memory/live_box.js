// @ts-check
// The box for live changes of a run, "What happens next": a new prompt, pause, finish.
import { say } from "../i18n/say.js";
import { el } from "../lib/dom.js";
import { seconds } from "./log.js";

/**
 * A prompt that was sent to a run.
 * @typedef {{number: number, prompt: string, status: string, message: string, start_s: number | null}} PromptRequest
 * @typedef {{paused: boolean, holding: boolean, finishing: boolean, ended: boolean, takes_prompts: boolean,
 *            switches: string[], prompts: PromptRequest[]}} LiveState
 */

/** @type {Record<string, string>} */
const SWITCH_HELP = {
  recache: "the last seconds are read anew under the prompt",
  soft: "only the text changes",
  cut: "a new shot, which remembers the bank alone",
  blend: "the text moves over to the prompt little by little",
};

/**
 * @param {string} name  of its class @param {string} label @param {string} [title]
 * @param {"submit" | "button"} [type]
 */
function button(name, label, title, type = "button") {
  return el("button", { type, class: name, title }, label);
}

export class LiveBox {
  /** @param {(body: object) => Promise<string | null>} send  posts a change; resolves to an error, or null */
  constructor(send) {
    this.send = send;
    this.paused = false;
    /** called when it appears or goes */
    this.onResize = () => {};
    this.text = el("textarea", { class: "mm-next", rows: 2, maxlength: 8000 });
    this.switch = el("select", { class: "mm-switch", title: say("How the new prompt takes over") });
    this.playNext = button("mm-ask", say("Play next"), say("Starts with the next chunk (Enter)"), "submit");
    this.pause = button("mm-pause", say("Pause"));
    this.finish = button("mm-finish", say("Finish now"), say("End the video after this chunk, and keep all of it"));
    this.status = el("div", { class: "mm-said", role: "status" });
    const gap = el("span", { class: "mm-gap" });
    const tools = el("div", { class: "mm-tools" }, this.switch, this.playNext, gap, this.pause, this.finish);
    const label = { class: "mm-live", "aria-label": say("What happens next") };
    this.element = el("form", label, this.text, tools, this.status);
    this.element.hidden = true;
    this.listen();
  }

  listen() {
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.postPrompt();
    });
    this.text.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        this.postPrompt();
      }
    });
    this.pause.addEventListener("click", () => this.post({ action: this.paused ? "resume" : "pause" }));
    this.finish.addEventListener("click", () => this.post({ action: "finish" }));
  }

  async postPrompt() {
    const prompt = this.text.value.trim();
    if (!prompt || this.playNext.disabled) return;
    if (await this.post({ prompt, switch: this.switch.value })) this.text.value = "";
  }

  /** Post a change; false after an error, which is shown. @param {object} body @returns {Promise<boolean>} */
  async post(body) {
    const problem = await this.send(body);
    if (problem !== null) this.showStatus(problem, true);
    return problem === null;
  }

  /** @param {string} text @param {boolean} problem */
  showStatus(text, problem) {
    this.status.textContent = text;
    this.status.classList.toggle("mm-problem", problem);
  }

  /** Show the state of a run. @param {LiveState | null} state  null: no run can be directed */
  update(state) {
    const hidden = !state || state.ended;
    const changed = this.element.hidden !== hidden;
    this.element.hidden = hidden;
    if (state && !hidden) this.show(state);
    if (changed) this.onResize();
  }

  /** @param {LiveState} state */
  show(state) {
    this.paused = state.paused;
    this.pause.textContent = say(state.paused ? "Go on" : "Pause");
    this.pause.disabled = this.finish.disabled = state.finishing;
    this.text.disabled = this.switch.disabled = this.playNext.disabled = !state.takes_prompts || state.finishing;
    this.text.placeholder = state.takes_prompts
      ? say("What happens next?")
      : say("Connect a CLIP to the clip input to change the prompt while it runs.");
    this.showSwitches(state.switches);
    this.showStatus(...statusOf(state));
  }

  /** @param {string[]} names */
  showSwitches(names) {
    if (this.switch.options.length === names.length) return;
    const options = names.map((name) => el("option", { value: name, title: say(SWITCH_HELP[name] ?? "") }, name));
    this.switch.replaceChildren(...options);
  }
}

/** The status line of a state, and whether it is a problem. @param {LiveState} state @returns {[string, boolean]} */
export function statusOf(state) {
  if (state.finishing) return [say("Ends after this chunk."), false];
  const request = state.prompts.at(-1);
  const held = state.holding ? `${say("Paused.")} ` : state.paused ? `${say("Pauses after this chunk.")} ` : "";
  if (!request) return [held.trim(), false];
  const prompt = request.prompt.length > 60 ? `${request.prompt.slice(0, 57)}...` : request.prompt;
  if (request.status === "refused") return [held + say("“{0}” was not taken: {1}", prompt, request.message), true];
  if (request.status === "waiting") return [held + say("“{0}” waits for the next chunk.", prompt), false];
  return [held + say("“{0}” starts at {1}.", prompt, seconds(request.start_s ?? 0)), false];
}
