// @ts-check
// Add to what ComfyUI's nodes and widgets do in their own methods.

/**
 * Call a function after a method of an object, such as a node's onResize, which the object need not have.
 * @param {Record<string, any>} owner @param {string} name  of the method @param {(...values: any[]) => void} then  takes
 *   what the method was called with
 */
export function callAfter(owner, name, then) {
  const before = owner[name];
  owner[name] = function (/** @type {any[]} */ ...values) {
    const result = before?.apply(this, values);
    then(...values);
    return result;
  };
}
