// @ts-check
// The film panel of a sampling node: one player, above the other panels, as large as the node has room.
import { MARGIN, NodePanel } from "../lib/panel.js";
import { el } from "../lib/dom.js";
import { Film } from "./film.js";

// never changed by a run, so that neither the node nor its workflow file changes
const LEAST_HEIGHT = 200;

export class FilmPanel extends NodePanel {
  /**
   * @param {ComfyNode} node @param {import("./film.js").Host} host
   * @param {(time_s: number) => void} onTime  called with the moment of the story that is on show
   */
  constructor(node, host, onTime) {
    super(node, el("div", { class: "memflow-film" }));
    this.onTime = onTime;
    this.film = this.show(new Film(host));
  }

  get height() {
    return 2 * MARGIN + LEAST_HEIGHT;
  }

  /** Show a film here, as one whose node was made anew. @param {Film} film */
  show(film) {
    this.film = film;
    film.onTime = this.onTime;
    this.element.replaceChildren(film.element);
    // an element that is moved stops playing
    if (!film.video.hidden && film.following) film.play();
    return film;
  }
}
