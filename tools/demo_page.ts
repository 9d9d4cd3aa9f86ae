/** The demo's page: `serve ADDRESS` answers on port 8000, `get ADDRESS` fetches and prints it. */
const [verb, hostname] = Deno.args;
if (verb === "serve") {
  Deno.serve(
    { hostname, port: 8000, onListen: () => console.log("ready") },
    (_request, { remoteAddr }) => new Response(`hello ${remoteAddr.hostname}, this page came over the tailnet\n`),
  );
} else {
  const response = await fetch(`http://${hostname}:8000/`, { signal: AbortSignal.timeout(10_000) });
  console.log(await response.text());
}
