/**
 * The test suites: which files belong to which, and what each may touch.
 *
 * Pure rooms run without any Deno permission, so a pure file that
 * reads a clock's time zone, a file or an environment variable fails; in those folders a file named `*_net_test.ts`
 * needs sockets and runs with the system tests.
 */

/** One `deno test` run. */
export interface Suite {
  readonly name: string;
  readonly takes: (path: string) => boolean;
  readonly permissions: readonly string[];
  /** Files run at once; suites of long waits share the two cores easily. */
  readonly jobs: number;
  /**
   * Minutes of computing that no clock judges: runs at the lowest priority beside the suites that follow, which mostly
   * wait. What it prints comes when it is done.
   */
  readonly background?: true;
}

const PURE = ["tests/base/", "tests/tka/", "tests/engine/", "tests/control/wire/", "tests/derp/"];

/** Whole files of computing: many worlds and histories of Tailnet Lock, another machine emulated. */
const PROOFS = [
  "tests/daemon/lock/lost_nodes_test.ts",
  "tests/interop/tka_histories_test.ts",
  "tests/interop/tka_worlds_test.ts",
  "tests/tools/arm64_test.ts",
];

/** In the order they run. A file belongs to the first that takes it. */
export const SUITES: readonly Suite[] = [
  {
    name: "pure",
    takes: (path) => PURE.some((folder) => path.startsWith(folder)) && !path.endsWith("_net_test.ts"),
    permissions: [],
    jobs: 2,
  },
  { name: "proofs", takes: (path) => PROOFS.includes(path), permissions: ["-A"], jobs: 2, background: true },
  {
    name: "system",
    takes: (path) => !path.startsWith("tests/interop/") && !path.startsWith("tests/netlab/"),
    permissions: ["-A"],
    jobs: 2,
  },
  { name: "netlab", takes: (path) => path.startsWith("tests/netlab/"), permissions: ["-A"], jobs: 3 },
  { name: "interop", takes: (path) => path.startsWith("tests/interop/"), permissions: ["-A"], jobs: 6 },
];

/** The suite a test file belongs to. */
export function suiteOf(path: string): Suite {
  const suite = SUITES.find(({ takes }) => takes(path));
  if (suite === undefined) throw new TypeError(`Cannot place ${path}: no suite takes it`);
  return suite;
}
