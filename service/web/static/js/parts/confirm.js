// Asks for confirmation before an action. The browser's dialog element handles focus and Escape.
import { html, render } from "../core/html.js";

// Resolves to whether the action was confirmed and done. An error of `act` is shown, and the user can try again.
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
