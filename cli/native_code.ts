/**
 * The right to call native code, which is the right to do all that the process's user may. Only the servers need it: the
 * daemon for TUN and sockets, the coordinator to know its callers. Every other verb gives it up before it is loaded, but
 * for `migrate`: Deno opens `/proc` only to a process that has every right.
 */
export function giveUpNativeCode(): void {
  Deno.permissions.revokeSync({ name: "ffi" });
}
