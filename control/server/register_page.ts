/** The page behind a login URL. It decides nothing: an operator does, on the coordinator's machine. */

const STYLE = "body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:4rem auto;padding:0 1rem}" +
  "pre{background:#eee;color:#111;padding:1rem;overflow:auto}";

/** True for the form of a login's ID, so that nothing else is ever echoed. */
export function isLoginId(text: string): boolean {
  return /^[1-9A-HJ-NP-Za-km-z]{24}$/.test(text);
}

/** HTML that says which command lets the node in. The same for a login that exists and one that does not. */
export function registerPage(id: string): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Approve a node</title>
<style>${STYLE}</style>
<h1>Approve a node</h1>
<p>A machine asks to join this tailnet. To let it in, run this as root where the coordinator runs:</p>
<pre>agent coordinator nodes approve ${id}</pre>
<p>Add <code>--user name</code> to say whose it is. Do this only if you started the login yourself. The machine goes on by
itself once it is approved.</p>
</html>
`;
}

/** Headers that keep the page inert: no script, no frame, no referrer that would leak the ID. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  "content-type": "text/html; charset=utf-8",
  "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
};
