/**
 * What a program of the operator's prints, as lines of our log: struck clean of secrets, and in its format, like all that
 * stands there. The program is read to its end, whatever of it is told.
 */
const MOST_LINES = 200;
/** Characters of a line; the rest of it is dropped. */
const LINE_LENGTH = 4_096;

/** Tells each line, without what ends it. Resolves at the end of the stream; never rejects. */
export async function tellLines(stream: ReadableStream<Uint8Array>, tell: (line: string) => void): Promise<void> {
  let told = 0;
  const line = (text: string) => {
    if (text === "") return;
    if (told++ < MOST_LINES) tell(text.length > LINE_LENGTH ? `${text.slice(0, LINE_LENGTH)}…` : text);
  };
  let rest = "";
  try {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split(/\r?\n/);
      // One character more than is told says that there was more.
      rest = lines.pop()!.slice(0, LINE_LENGTH + 1);
      lines.forEach(line);
    }
  } catch {
    // What was read stands.
  }
  line(rest);
  if (told > MOST_LINES) tell(`… and ${told - MOST_LINES} lines more, which are left out`);
}
