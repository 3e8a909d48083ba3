// A file that keeps a cursor: one line.

import { open, readFile, rename } from "node:fs/promises";

// Returns the cursor in the file, or "" if there is no file.
export async function load(path: string): Promise<string> {
  let text: string;
  try {
    text = (await readFile(path, "utf8")).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
  // Lost content must not silently mean a new start.
  if (text === "") throw new Error(`${path} is empty: restore it, or remove it to begin anew`);
  return text;
}

// Replaces the file as a whole: a crash leaves the old cursor or the new one.
export async function save(path: string, cursor: string): Promise<void> {
  const file = await open(`${path}.tmp`, "w");
  try {
    await file.writeFile(`${cursor}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.tmp`, path);
}
