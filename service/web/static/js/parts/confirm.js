// Asks for confirmation before an action. The browser's dialog element handles focus and Escape.
import { html, nothing, render } from "../core/html.js";

// Resolves to whether the action was confirmed and done. `fields`: inputs, whose values `act` gets as FormData. An error
// of `act` is shown, and the user can try again.
export function confirm({ title, text, verb, danger = false, fields = nothing, act }) {
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
      const values = new FormData(event.target);
      [busy, error] = [true, ""];
      draw();
      try {
        await act(values);
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
          ${fields}
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
