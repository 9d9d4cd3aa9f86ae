/** What this build is called. `tools/build/stage.ts` burns the commit and its date into these lines. */
export const VERSION = "0.1.0";
/** The commit built from, or "" when run from source. `-dirty` at its end: with changes that are in no commit. */
export const COMMIT: string = "";
/** When that commit was made, as `2026-01-31T12:00:00Z`, or "". */
export const COMMIT_DATE: string = "";
/** The version in one word, as Hostinfo and `version` show it. */
export const LONG_VERSION: string = COMMIT === ""
  ? `${VERSION}-dev`
  : `${VERSION}-t${COMMIT.slice(0, 9)}${COMMIT.endsWith("-dirty") ? "-dirty" : ""}`;
