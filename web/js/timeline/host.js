// @ts-check
// What a timeline needs of its node and of the page.

/**
 * @typedef {object} Host of a timeline
 * @property {() => string} text  "" where only a run knows it
 * @property {() => string} unknown  why the text is not known, "" if it is
 * @property {(text: string) => void} setText
 * @property {() => string} globalPrompt
 * @property {(prompt: string) => void} setGlobalPrompt
 * @property {() => number} story  which one of a text with several, from 1
 * @property {(story: number) => void} setStory
 * @property {() => string} storyLocked  why the text cannot be replaced by one of a single story, "" if it can
 * @property {() => import("../schedule/plan.js").Setting} setting
 * @property {(frames: number) => void} setLength  of the samplers that play it
 * @property {() => string} locked  why the text cannot be edited here, "" if it can
 * @property {() => boolean} globalLocked
 * @property {(text: string) => Promise<{text?: string, error?: string, said?: import("../i18n/say.js").Message[]}>} convert  another form to the text form, by the server
 * @property {(sentence: string) => void} tell  shows a sentence for a while
 * @property {(time_s: number) => void} look  shows a moment of the story in the films that are made of it
 * @property {(event: WheelEvent) => void} wheel  passes an event to the canvas
 * @property {() => void} edited  called after every edit
 * @property {(index: number) => void} openTakes  shows what earlier runs have made of a segment
 */

export {};
