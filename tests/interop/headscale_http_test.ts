import { overHttp } from "./support/headscale.ts";
import { headscaleCases } from "./support/headscale_cases.ts";

headscaleCases("over http", overHttp);
