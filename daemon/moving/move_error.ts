/** A move that was not made; nothing was changed, and the message says what to do. */
export class MoveError extends Error {
  override readonly name = "MoveError";
}
