/** What this build is called. `tools/build.ts` burns a release's own version and commit in. */
export const VERSION = "0.1.0";
/** The commit built from, or "" when run from source. */
export const COMMIT: string = "";
/** The version in one word, as Hostinfo and `version` show it. */
export const LONG_VERSION: string = COMMIT === "" ? `${VERSION}-dev` : `${VERSION}-t${COMMIT.slice(0, 9)}`;
