import { SeededRandom } from "../support/random.ts";
import { killAtRandom } from "./crashes.ts";
import { privilegedTest } from "./lab.ts";

privilegedTest(
  "kill -9 at 20 random moments: the node comes back by itself, nothing is lost and nothing left",
  async () => {
    const random = new SeededRandom(Date.now() >>> 0);
    console.log(`  seed ${random.seed}`);
    await killAtRandom(20, random);
  },
);
