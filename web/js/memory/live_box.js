// @ts-check
// The box for live changes of a run, "What happens next": a new prompt, pause, finish.
import { say, sayError } from "../i18n/say.js";
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
  jump: "a new shot for models of several shots: time jumps, nothing is forgotten",
  fresh: "a new story, which remembers nothing",
};

/**
 * @param {string} name  of its class @param {string} label @param {string} [title]
 * @param {"submit" | "button"} [type]
 */
function button(name, label, title, type = "button") {
  return el("button", { type, class: name, title }, label);
}

export class LiveBox {
  /**
   * @param {(body: object) => Promise<string | null>} send  posts a change; resolves to an error, or null
   * @param {() => void} keepPlayed  puts what was played into the schedule
   */
  constructor(send, keepPlayed) {
    this.send = send;
    this.paused = false;
    /** @type {LiveState | null} what is shown */
    this.state = null;
    /** @type {number | null} the number of the last prompt that was put back */
    this.givenBack = null;
    this.text = el("textarea", { class: "mm-next", rows: 1, maxlength: 8000 });
    this.switch = el("select", { class: "mm-switch", title: say("How the new prompt takes over") });
    this.playNext = button("mm-ask", say("Play next"), say("Starts with the next chunk (Enter)"), "submit");
    this.pause = button("mm-pause", say("Pause"));
    this.finish = button("mm-finish", say("Finish now"), say("End the video after this chunk, and keep all of it"));
    this.status = el("div", { class: "mm-said", role: "status" });
    this.keep = button("mm-keep", say("Put what was played into the schedule"), say("Then the next run plays it again"));
    this.keep.hidden = true;
    this.keep.addEventListener("click", keepPlayed);
    const foot = el("div", { class: "mm-foot" }, this.status, this.keep);
    const gap = el("span", { class: "mm-gap" });
    const tools = el("div", { class: "mm-tools" }, this.switch, this.playNext, gap, this.pause, this.finish);
    const label = { class: "mm-live", "aria-label": say("What happens next") };
    this.element = el("form", label, this.text, tools, foot);
    this.listen();
    this.update(null);
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
    this.state = state;
    const idle = !state || state.ended;
    this.element.classList.toggle("mm-idle", idle);
    if (state && !idle) this.show(state);
    else this.rest();
  }

  /** Offer to put what was played into the schedule, once it has ended. @param {boolean} offered */
  offerPlayed(offered) {
    this.keep.hidden = !offered;
  }

  /** Nothing runs that could be directed. A prompt that was not sent stays. */
  rest() {
    this.paused = false;
    this.pause.textContent = say("Pause");
    for (const part of [this.text, this.switch, this.playNext, this.pause, this.finish]) part.disabled = true;
    this.text.placeholder = say("While a story runs: what happens next?");
    this.showStatus("", false);
  }

  /** @param {LiveState} state */
  show(state) {
    this.paused = state.paused;
    this.pause.textContent = say(state.paused ? "Go on" : "Pause");
    this.pause.disabled = this.finish.disabled = Boolean(state.finishing);
    this.text.disabled = this.switch.disabled = this.playNext.disabled = !state.takes_prompts || state.finishing;
    this.text.placeholder = state.takes_prompts
      ? say("What happens next?")
      : say("Connect a CLIP to the clip input to change the prompt while it runs.");
    this.showSwitches(state.switches);
    this.giveBack(state.prompts.at(-1));
    this.showStatus(...statusOf(state));
  }

  /** Put a prompt that was not taken back into the box, to be mended. @param {PromptRequest | undefined} request */
  giveBack(request) {
    if (request?.status !== "refused" || request.number === this.givenBack) return;
    this.givenBack = request.number;
    if (!this.text.value.trim()) this.text.value = request.prompt;
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
  if (request.status === "refused") return [held + say("“{0}” was not taken: {1}", prompt, sayError(request.message)), true];
  if (request.status === "waiting") return [held + say("“{0}” waits for the next chunk.", prompt), false];
  return [held + say("“{0}” starts at {1}.", prompt, seconds(request.start_s ?? 0)), false];
}
