import { MemChonk } from "../../tka/mem_chonk.ts";
import { testChonk } from "../support/chonk_suite.ts";

testChonk("MemChonk", () => {
  const chonk = new MemChonk();
  return { chonk, reopen: () => chonk };
});
