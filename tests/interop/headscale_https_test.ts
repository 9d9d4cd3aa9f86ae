import { overTls } from "./support/headscale.ts";
import { headscaleCases } from "./support/headscale_cases.ts";

headscaleCases("over https with a private CA", overTls);
