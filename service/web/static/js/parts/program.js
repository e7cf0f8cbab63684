// What a job that is a program runs: pairs of a name and a value.
import { html } from "../core/html.js";

const PLAIN = /^[\w@%+=:,./-]+$/;
const quoted = (word) => (PLAIN.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);
const code = (text) => html`<code>${text}</code>`;
const filled = (map) => map && Object.keys(map).length > 0;

export function programFacts({ program, params, monitor, data }) {
  if (!program) return [];
  const { command, working_directory: folder, environment } = program;
  return [
    ["Command", Array.isArray(command) ? code(command.map((word) => quoted(String(word))).join(" ")) : null],
    ["Code", program.code ? code(program.code) : "none: the command runs what the worker has"],
    ["Directory", folder && folder !== "." ? code(folder) : null],
    ["Environment", filled(environment) ? code(Object.entries(environment).map(([name, value]) => `${name}=${quoted(String(value))}`).join(" ")) : null],
    ["Parameters", filled(params) ? html`<pre class="code" tabindex="0" aria-label="Parameters">${JSON.stringify(params, null, 2)}</pre>` : null],
    ["Data", filled(data) ? code(Object.entries(data).map(([name, reference]) => `${name}: ${reference}`).join(", ")) : null],
    ["Best by", monitor ? `${monitor.metric}, ${monitor.mode}` : null],
  ];
}
