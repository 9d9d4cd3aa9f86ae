/** How the daemon ends, for units and scripts. */
export const EXIT = {
  ok: 0,
  /** Something failed that has no code of its own. */
  failed: 1,
  /** The command line cannot be understood. */
  usage: 2,
  /** The saved state cannot be used; it was left as it is. */
  state: 3,
  /** Another daemon answers on the socket. */
  busy: 4,
  /** TUN device, sockets or rights are missing. */
  system: 5,
  /** The configuration file is not there or has mistakes; nothing was changed. */
  config: 6,
} as const;
