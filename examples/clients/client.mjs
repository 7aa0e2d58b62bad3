#!/usr/bin/env node
// Judges files with a running `candor serve`; needs nothing but Node 18 or later.
//
//   CANDOR_URL=http://127.0.0.1:8720 CANDOR_KEY=candor_... examples/clients/client.mjs FILE...
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

const url = process.env.CANDOR_URL ?? "http://127.0.0.1:8720";
const key = process.env.CANDOR_KEY;

// The verdict on a file. Waits and asks again while the service is busy.
async function scan(path) {
  const headers = { "Content-Type": "application/octet-stream", ...(key && { Authorization: `Bearer ${key}` }) };
  const body = await readFile(path);
  for (;;) {
    const query = new URLSearchParams({ name: basename(path) });
    const answer = await fetch(`${url}/v1/scan?${query}`, { method: "POST", headers, body });
    if (answer.status === 429 || answer.status === 503) {
      await pause(1000 * Number(answer.headers.get("Retry-After") ?? 2));
      continue;
    }
    const value = await answer.json();
    if (!answer.ok) throw new Error(`${path}: ${value.title}: ${value.detail ?? ""}`);
    return value;
  }
}

for (const path of process.argv.slice(2)) {
  const verdict = await scan(path);
  console.log(`${verdict.label.padEnd(13)} ${path}: ${verdict.reasons[0]?.text ?? ""}`);
}
