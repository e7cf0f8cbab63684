// The path prefix under which a proxy publishes the dashboard, such as /baton. Empty without one.
const root = document.querySelector('meta[name="baton-root"]').content;

// The path in the browser for a path of the service, and the reverse.
export const at = (path) => root + path;
export const within = (path) => (path === root ? "/" : path.startsWith(`${root}/`) ? path.slice(root.length) : path);
