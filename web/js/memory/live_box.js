// @ts-check
// "What happens next": directs a story while it plays.

import { say } from "../i18n/say.js";
import { el } from "../lib/dom.js";
import { seconds } from "./log.js";

/**
 * @typedef {{number: number, prompt: string, status: string, message: string, start_s: number | null}} Wish
 * @typedef {{paused: boolean, holding: boolean, finishing: boolean, ended: boolean, takes_prompts: boolean,
 *            switches: string[], prompts: Wish[]}} LiveState
 */

/** @type {Record<string, string>} */
const SWITCH_HELP = {
  recache: "the last seconds are read anew under the prompt",
  soft: "only the text changes",
  cut: "a new shot, which remembers the bank alone",
  blend: "the text moves over to the prompt little by little",
};

/** @param {string} name  of its class @param {string} label @param {string} [title] @param {"submit" | "button"} [type] */
function button(name, label, title, type = "button") {
  return el("button", { type, class: name, title }, label);
}

export class LiveBox {
  /** @param {(body: object) => Promise<string | null>} send posts a change; resolves to what is wrong with it, or null */
  constructor(send) {
    this.send = send;
    /** called when it appears or goes */
    this.onResize = () => {};
    this.text = el("textarea", { class: "mm-next", rows: 2, maxlength: 8000 });
    this.kind = el("select", { class: "mm-switch", title: say("How the new prompt takes over") });
    this.ask = button("mm-ask", say("Play next"), say("Starts with the next chunk (Enter)"), "submit");
    this.pause = button("mm-pause", say("Pause"));
    this.finish = button("mm-finish", say("Finish now"), say("End the video after this chunk, and keep all of it"));
    this.said = el("div", { class: "mm-said", role: "status" });
    const gap = el("span", { class: "mm-gap" });
    const tools = el("div", { class: "mm-tools" }, this.kind, this.ask, gap, this.pause, this.finish);
    const label = { class: "mm-live", "aria-label": say("What happens next") };
    this.element = el("form", label, this.text, tools, this.said);
    this.element.hidden = true;
    this.listen();
  }

  listen() {
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.askForPrompt();
    });
    this.text.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        this.askForPrompt();
      }
    });
    this.pause.addEventListener("click", () => this.tell({ action: this.paused ? "resume" : "pause" }));
    this.finish.addEventListener("click", () => this.tell({ action: "finish" }));
  }

  async askForPrompt() {
    const prompt = this.text.value.trim();
    if (!prompt || this.ask.disabled) return;
    if (await this.tell({ prompt, switch: this.kind.value })) this.text.value = "";
  }

  /** @param {object} body @returns {Promise<boolean>} whether it was taken */
  async tell(body) {
    const problem = await this.send(body);
    if (problem !== null) this.say(problem, true);
    return problem === null;
  }

  /** @param {string} words @param {boolean} [problem] */
  say(words, problem = false) {
    this.said.textContent = words;
    this.said.classList.toggle("mm-problem", problem);
  }

  /** @param {LiveState | null} state null: no story runs */
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
    this.text.disabled = this.kind.disabled = this.ask.disabled = !state.takes_prompts || state.finishing;
    this.text.placeholder = state.takes_prompts
      ? say("What happens next?")
      : say("Connect a CLIP to the clip input to change the prompt while it runs.");
    this.offer(state.switches);
    const [words, problem] = report(state);
    this.say(words, problem);
  }

  /** @param {string[]} switches */
  offer(switches) {
    if (this.kind.options.length === switches.length) return;
    this.kind.replaceChildren(
      ...switches.map((name) => {
        const option = new Option(name, name);
        option.title = say(SWITCH_HELP[name] ?? "");
        return option;
      }),
    );
  }
}

/** What to say of a state, and whether it is a problem. @param {LiveState} state @returns {[string, boolean]} */
export function report(state) {
  if (state.finishing) return [say("Ends after this chunk."), false];
  const wish = state.prompts.at(-1);
  const held = state.holding ? `${say("Paused.")} ` : state.paused ? `${say("Pauses after this chunk.")} ` : "";
  if (!wish) return [held.trim(), false];
  const named = wish.prompt.length > 60 ? `${wish.prompt.slice(0, 57)}...` : wish.prompt;
  if (wish.status === "refused") return [held + say("“{0}” was not taken: {1}", named, wish.message), true];
  if (wish.status === "waiting") return [held + say("“{0}” waits for the next chunk.", named), false];
  return [held + say("“{0}” starts at {1}.", named, seconds(wish.start_s ?? 0)), false];
}
