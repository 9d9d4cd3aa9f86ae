/**
 * Port 80 of a relay, as derper answers there, and a captive portal's web server, as a process for a namespace.
 *
 *   RELAY PORTAL     addresses to listen on, "host:port"
 *
 * The relay gives an empty answer and repeats the challenge (cmd/derper serveNoContent); the portal sends everybody to its
 * page of terms. Prints "serving".
 */
const [relay, portal] = Deno.args.map((text) => {
  const at = text.lastIndexOf(":");
  return { hostname: text.slice(0, at), port: Number(text.slice(at + 1)) };
});

let serving = 0;
const onListen = () => {
  if (++serving === 2) console.log("serving");
};

Deno.serve({ ...relay, onListen }, (request) => {
  const challenge = request.headers.get("X-Tailscale-Challenge");
  const headers = challenge === null ? undefined : { "X-Tailscale-Response": `response ${challenge}` };
  return new Response(null, { status: 204, headers });
});
Deno.serve({ ...portal, onListen }, () => {
  return new Response("Agree to our terms.", { status: 302, headers: { Location: "http://terms.example/" } });
});
