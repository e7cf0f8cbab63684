// Sign-in with a token. It is sent once; later requests use the session cookie, which scripts cannot read.
import { drawer, html } from "../core/html.js";
import { send } from "../core/api.js";

export function signIn(root, { signedIn, why }) {
  document.title = "Sign in – Baton";
  const state = { error: why, busy: false };
  const draw = drawer(root, template);

  async function submit(event) {
    event.preventDefault();
    Object.assign(state, { busy: true, error: "" });
    draw();
    try {
      signedIn(await send("POST", "/v1/session", { token: new FormData(event.target).get("token") }));
    } catch (error) {
      Object.assign(state, { busy: false, error: error.status === 401 ? "This token is unknown, expired or revoked." : error.message });
      draw();
      root.querySelector("input").focus();
    }
  }

  function template() {
    return html`<section class="signin">
      <h1>Sign in</h1>
      <p class="soft">Use a token of this service. <code>baton up</code> prints its token and a link that signs in. <code>baton dashboard</code> makes a new link.</p>
      <form @submit=${submit}>
        <input name="username" autocomplete="username" value="baton" hidden />
        <label for="token">Token</label>
        <input id="token" name="token" type="password" autocomplete="current-password" spellcheck="false" required aria-describedby="token-error" aria-invalid=${state.error ? "true" : "false"} />
        <p id="token-error" class="error" role="alert">${state.error}</p>
        <button class="button primary" ?disabled=${state.busy}>Sign in</button>
      </form>
    </section>`;
  }

  draw();
  queueMicrotask(() => root.querySelector("input")?.focus());
  return draw.end;
}
