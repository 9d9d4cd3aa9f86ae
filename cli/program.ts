/** What the command line behaves as, and is called in texts: itself, or Tailscale's under that name. */
export type Program = "agent" | "tailscale";
