// @ts-check
// Short branches of a story: the same graph under another seed of one prompt, up to some seconds behind its start. Pure.

/** @typedef {Record<string, {class_type: string, inputs: Record<string, any>}>} Prompt  as ComfyUI's API takes it */
/** @typedef {{schedule: string, sampler: string}} Places  ids of the two nodes in the prompt */

const NAME = "memflow_take";
const MOST_SEED = 2 ** 32;

/**
 * The prompt of a branch: the sampling node with what stands behind it, which writes a file that does not stay.
 * @param {Prompt} prompt @param {Places} places @param {string} text  of the schedule @param {number} length  in video frames
 * @returns {Prompt}
 */
export function branchPrompt(prompt, { schedule, sampler }, text, length) {
  /** @type {Prompt} */
  const branch = {};
  const left = [sampler];
  for (const id of left) {
    const node = prompt[id];
    if (!node || branch[id]) continue;
    branch[id] = { ...node, inputs: { ...node.inputs } };
    for (const value of Object.values(node.inputs)) {
      if (Array.isArray(value)) left.push(String(value[0]));
    }
  }
  Object.assign(branch[sampler].inputs, { length, save_output: false, filename_prefix: NAME });
  branch[schedule].inputs.prompts = text;
  return branch;
}

/** Seeds that none of the others has, as digits. @param {number} count @param {string[]} others @param {() => number} random  0 to 1 */
export function newSeeds(count, others, random = Math.random) {
  const seeds = new Set(/** @type {string[]} */ ([]));
  while (seeds.size < count) {
    const seed = String(Math.floor(random() * MOST_SEED));
    if (!others.includes(seed)) seeds.add(seed);
  }
  return [...seeds];
}
