// The command line; README.md in the folder above documents it.

import { parseArgs } from "node:util";

export interface Options {
  addr: string;
  wabaIds: string[];
  types: string[];
  from: "earliest" | "latest";
  checkpoint: string;
  continueAfterGap: boolean;
  heartbeatSeconds: number;
  tokenFile?: string;
  caFile?: string;
}

export function parseOptions(): Options {
  const { values } = parseArgs({
    options: {
      addr: { type: "string", default: "127.0.0.1:9090" },
      "waba-id": { type: "string", multiple: true, default: [] },
      type: { type: "string", multiple: true, default: [] },
      from: { type: "string", default: "earliest" },
      checkpoint: { type: "string", default: "wabastream.cursor" },
      "on-gap": { type: "string", default: "fail" },
      heartbeat: { type: "string", default: "15" },
      "token-file": { type: "string" },
      "ca-file": { type: "string" },
    },
  });
  const heartbeatSeconds = Number(values.heartbeat);
  if (!(heartbeatSeconds > 0)) throw new Error("--heartbeat takes seconds");
  return {
    addr: values.addr,
    wabaIds: values["waba-id"],
    types: values.type,
    from: oneOf("--from", values.from, ["earliest", "latest"]),
    checkpoint: values.checkpoint,
    continueAfterGap: oneOf("--on-gap", values["on-gap"], ["fail", "continue"]) === "continue",
    heartbeatSeconds,
    tokenFile: values["token-file"],
    caFile: values["ca-file"],
  };
}

function oneOf<T extends string>(name: string, value: string, choices: T[]): T {
  const choice = choices.find((c) => c === value);
  if (choice === undefined) throw new Error(`${name} takes ${choices.join(" or ")}`);
  return choice;
}
