// Asks before something is done that a click alone should not do. The browser's own dialog keeps focus and Escape.
import { html, render } from "../core/html.js";

// Resolves to whether it was confirmed. `act` runs meanwhile; what it throws is shown, and can be tried again.
export function confirm({ title, text, verb, danger = false, act }) {
  return new Promise((resolve) => {
    const dialog = document.createElement("dialog");
    let error = "";
    let busy = false;
    dialog.setAttribute("aria-labelledby", "confirm-title");
    const close = (done) => {
      dialog.close();
      dialog.remove();
      resolve(done);
    };
    async function go(event) {
      event.preventDefault();
      [busy, error] = [true, ""];
      draw();
      try {
        await act();
        close(true);
      } catch (problem) {
        [busy, error] = [false, problem.message];
        draw();
      }
    }
    const draw = () =>
      render(
        html`<form method="dialog" @submit=${go}>
          <h2 id="confirm-title">${title}</h2>
          <p>${text}</p>
          <p class="error" role="alert">${error}</p>
          <div class="actions">
            <button type="button" class="button" ?disabled=${busy} @click=${() => close(false)}>Back</button>
            <button class="button ${danger ? "danger" : "primary"}" data-confirm ?disabled=${busy}>${busy ? "…" : verb}</button>
          </div>
        </form>`,
        dialog,
      );
    draw();
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      if (!busy) close(false);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
