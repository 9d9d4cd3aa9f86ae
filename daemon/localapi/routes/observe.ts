/**
 * The daemon seen from outside: its log and the level of it, and bug reports. Source: localapi.serveBugReport,
 * serveComponentDebugLogging.
 */
import type { Scheduler } from "../../../base/clock.ts";
import { bugReport, markBug } from "../../bug_report.ts";
import type { BugReportSources } from "../../bug_report.ts";
import { isLogLevel, LOG_LEVELS } from "../../log_level.ts";
import type { LogTail, TailLine } from "../../log_tail.ts";
import type { ApiRequest, Handler, Reply } from "../reply.ts";
import { errorText, json, requireMethod, requireWrite } from "../reply.ts";
import { queryBool } from "./status.ts";

/** How long debug lines are written at most while somebody reproduces a fault. */
const RECORD_MS = 12 * 3_600_000;

/** Lines that wait for a follower who does not read; what is more is left out. */
const MOST_WAITING = 256;

/** Every line of the log from now on, as Go's logtail writes them. Source: localapi.serveLogTap, cli.runDaemonLogs. */
async function* followLog(tail: LogTail, signal: AbortSignal): AsyncGenerator<string> {
  yield '{"text":"[logtap connected]\\n"}\n';
  const waiting: TailLine[] = [];
  let wake = Promise.withResolvers<void>();
  const stop = tail.follow((line) => {
    if (waiting.length < MOST_WAITING) waiting.push(line);
    wake.resolve();
  });
  signal.addEventListener("abort", () => wake.resolve());
  try {
    while (!signal.aborted) {
      for (let line = waiting.shift(); line !== undefined; line = waiting.shift()) {
        const { time, level, text } = line;
        yield `${
          JSON.stringify({ logtail: { client_time: time }, ...(level === "debug" && { v: 1 }), text: `${text}\n` })
        }\n`;
      }
      await wake.promise;
      wake = Promise.withResolvers();
    }
  } finally {
    stop();
  }
}

/** `bugreport`, `component-debug-logging`, `logtap`, `agent/bugreport`, `agent/log-level`. */
export function observeRoutes(sources: BugReportSources, scheduler: Scheduler): Record<string, Handler> {
  const { threshold } = sources.log;
  const noteOf = (request: ApiRequest) => request.query.get("note") ?? "";

  /** A marker at once; another when the caller ends its body, with debug lines between the two. */
  async function* record(request: ApiRequest): AsyncGenerator<string> {
    const end = threshold.record(RECORD_MS, scheduler);
    try {
      yield `${markBug(sources, noteOf(request))}\n`;
      await request.bytes();
    } catch {
      // Whoever hangs up is done too, and gets no other marker.
      return;
    } finally {
      end();
    }
    yield `${markBug(sources, "")}\n`;
  }

  const level = () =>
    json({
      Level: threshold.level,
      ...(threshold.until !== undefined && { Until: new Date(threshold.until).toISOString() }),
    });

  return {
    bugreport: (request): Reply => {
      requireMethod(request, "POST", 405, "only POST allowed");
      // The log's level is everybody's.
      const records = queryBool(request.query.get("record"), false);
      if (records) requireWrite(request, "bugreport access denied");
      if (records) return { kind: "stream", lines: record(request) };
      return { kind: "body", status: 200, type: "text/plain", text: `${markBug(sources, noteOf(request))}\n` };
    },

    /** Ours: a marker and the report itself, files by name. */
    "agent/bugreport": async (request) => {
      requireMethod(request, "POST", 405, "only POST allowed");
      requireWrite(request, "bugreport access denied");
      const marker = markBug(sources, noteOf(request));
      const diagnose = queryBool(request.query.get("diagnose"), false);
      return json({ Marker: marker, Files: await bugReport(sources, marker, noteOf(request), diagnose) });
    },

    // Tailscale has a switch for each part of the program; here one switch is for all.
    "component-debug-logging": (request) => {
      requireWrite(request, "debug access denied");
      const secs = Number(request.query.get("secs"));
      if (secs > 0) threshold.setFor("debug", Math.min(secs * 1_000, RECORD_MS), scheduler);
      else threshold.restore();
      return json({ Error: "" });
    },

    logtap: (request): Reply => {
      requireWrite(request, "logtap access denied");
      requireMethod(request, "GET", 405, "GET required");
      return { kind: "stream", lines: followLog(sources.log.tail, request.signal) };
    },

    /** Ours. */
    "agent/log-level": (request) => {
      if (request.method === "GET") return level();
      requireMethod(request, "POST", 405, "want GET or POST");
      requireWrite(request, "log-level access denied");
      const wanted = request.query.get("level") ?? "";
      if (!isLogLevel(wanted)) return errorText(400, `unknown level "${wanted}": want ${LOG_LEVELS.join(", ")}`);
      const secs = Number(request.query.get("secs") ?? "0");
      if (!(secs >= 0 && secs <= RECORD_MS / 1_000)) {
        return errorText(400, `invalid 'secs': want 0 to ${RECORD_MS / 1_000}`);
      }
      if (secs === 0) threshold.set(wanted);
      else threshold.setFor(wanted, secs * 1_000, scheduler);
      sources.log.log.info(`log level ${wanted}${secs === 0 ? "" : ` for ${secs} s`}`);
      return level();
    },
  };
}
