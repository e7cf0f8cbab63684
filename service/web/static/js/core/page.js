// A page that shows the answer of one call, and asks again while it is open.
import { drawer } from "./html.js";
import { poll } from "./live.js";

// `load` gives the fields of the state to replace. Returns the function that closes the page.
export function polledPage(root, state, load, template, every) {
  const draw = drawer(root, () => template(state));
  const asking = poll(async () => {
    try {
      Object.assign(state, await load(), { error: "" });
    } catch (error) {
      state.error = error.message;
      throw error;
    } finally {
      draw();
    }
  }, every);
  return () => {
    asking.stop();
    draw.end();
  };
}
