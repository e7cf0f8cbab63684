// Polling while the page is visible. A hidden page sends no requests.
import { Problem } from "./api.js";

const LONGEST = 15_000;

// Calls `ask` now and every `milliseconds`; `ask` returns false to end the polling.
export function poll(ask, milliseconds) {
  let timer = null;
  let over = false;
  let busy = false;
  let again = false;
  let pause = milliseconds;

  async function round() {
    clearTimeout(timer);
    again = busy;
    if (over || busy || document.hidden) return;
    busy = true;
    try {
      over = (await ask()) === false || over;
      pause = milliseconds;
    } catch (error) {
      over = over || (error instanceof Problem && [401, 403, 404].includes(error.status));
      pause = Math.min(pause * 2, LONGEST);
    }
    busy = false;
    if (!over) timer = setTimeout(round, again ? 0 : pause);
  }

  document.addEventListener("visibilitychange", round);
  round();
  return {
    now: round,
    stop() {
      over = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", round);
    },
  };
}
