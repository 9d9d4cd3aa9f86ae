/** Why a call of Tailnet Lock is refused: HTTP status and a line for the person at the node. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}
