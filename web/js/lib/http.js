// @ts-check
// Requests to the server, as fetch takes them.

/** Options of a POST request with JSON in it. @param {object} body */
export function postJson(body) {
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}
