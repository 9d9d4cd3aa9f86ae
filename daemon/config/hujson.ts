/**
 * A configuration file's text as a tree that knows where each value stands. The form is HuJSON: JSON with comments and
 * trailing commas, as Tailscale's file is.
 */
import { parseTree, printParseErrorCode } from "jsonc-parser";
import type { Node, ParseError } from "jsonc-parser";

/** A value and its place: `offset` and `length` in UTF-16 units. */
export type Tree = Node;

/** Something wrong at a place of the text. */
export interface Problem {
  /** In UTF-16 units; undefined when it is about the whole. */
  readonly offset?: number;
  /** One line: the key, what was seen, what is wanted. */
  readonly text: string;
}

/** A configuration is a page; what is larger is something else. */
const MAX_CHARACTERS = 1 << 20;

const SYNTAX: Readonly<Record<string, string>> = {
  InvalidSymbol: "a word that is not JSON; text goes in double quotes",
  InvalidNumberFormat: "a number that is not JSON",
  PropertyNameExpected: 'want a key in double quotes, as "Hostname"',
  ValueExpected: "want a value here",
  ColonExpected: 'want ":" between key and value',
  CommaExpected: 'want "," between two values',
  CloseBraceExpected: 'want "}"; an object is not closed',
  CloseBracketExpected: 'want "]"; a list is not closed',
  EndOfFileExpected: "want nothing behind the end of the object",
  UnexpectedEndOfComment: "a comment is not closed",
  UnexpectedEndOfString: "a text is not closed on its line",
  InvalidCharacter: "a character that JSON allows only as an escape",
  InvalidEscapeCharacter: "an escape that JSON has not got",
};

function syntaxProblem({ error, offset }: ParseError): Problem {
  const name = printParseErrorCode(error);
  return { offset, text: SYNTAX[name] ?? `not JSON (${name})` };
}

/** Reads the text. Never throws; a list says what is wrong, the first place first. */
export function parseHuJson(text: string): Tree | readonly Problem[] {
  if (text.length > MAX_CHARACTERS) {
    return [{ text: `it has ${text.length} characters, want at most ${MAX_CHARACTERS}` }];
  }
  if (text.trim() === "") return [{ text: 'it is empty, want at least {"version": "alpha0"}' }];
  const errors: ParseError[] = [];
  let tree: Tree | undefined;
  try {
    tree = parseTree(text, errors, { allowTrailingComma: true, disallowComments: false });
  } catch (cause) {
    // So many brackets in one another that the parser's stack ends.
    if (cause instanceof RangeError) return [{ text: "it is nested too deeply" }];
    throw cause;
  }
  // One mistake often makes the parser stumble again at the same place, and behind it.
  if (errors.length > 0) return [syntaxProblem(errors[0])];
  return tree ?? [{ text: "it is not JSON" }];
}

/** `path:line:column: text`, lines and columns from 1, as compilers print it and editors jump to it. */
export function problemLine(path: string, text: string, problem: Problem): string {
  if (problem.offset === undefined) return `${path}: ${problem.text}`;
  const before = text.slice(0, problem.offset);
  const line = before.split("\n").length;
  const column = problem.offset - (before.lastIndexOf("\n") + 1) + 1;
  return `${path}:${line}:${column}: ${problem.text}`;
}
