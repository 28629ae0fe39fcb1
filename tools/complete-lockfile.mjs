#!/usr/bin/env node
/**
 * Adds to package-lock.json what npm leaves out when its registry has no packages of other platforms: for each optional
 * platform package that a dependency names, an entry with its version and platform. Without them `npm ci` refuses the lock
 * file on such a machine, and a machine of that platform would not get its native parts. Run it after each change of
 * dependencies (CONTRIBUTING.md, "Change dependencies"). Argument: the lock file. Changes nothing when nothing is missing.
 */
import { readFileSync, writeFileSync } from "node:fs";

const platformShape =
  /(android|darwin|linux|win32|windows|freebsd|openbsd|netbsd|openharmony|sunos|aix)-(arm64|x64|ia32|arm|ppc64|riscv64|s390x|loong64|mips64el)(?:-(musl|glibc|gnu|msvc))?/;

/** What a platform package's name says of where it can be used: `@biomejs/cli-linux-x64-musl`. */
function platformOf(name) {
  const found = platformShape.exec(name);
  if (!found) return undefined;
  const [, system, cpu, libc] = found;
  return {
    ...(libc === "musl" || libc === "glibc" ? { libc: [libc] } : {}),
    os: [system === "windows" ? "win32" : system],
    cpu: [cpu],
  };
}

const file = process.argv[2] ?? "package-lock.json";
const text = readFileSync(file, "utf8");
const lock = JSON.parse(text);
for (const [path, { optionalDependencies = {}, dev }] of Object.entries(lock.packages)) {
  if (!path.startsWith("node_modules/")) continue;
  for (const [name, version] of Object.entries(optionalDependencies)) {
    const place = `node_modules/${name}`;
    if (lock.packages[place] || lock.packages[`${path}/${place}`]) continue;
    const platform = platformOf(name);
    if (!platform || !/^\d/.test(version)) {
      console.error(`left out: ${name} ${version} of ${path}, which does not name one version for one platform`);
      continue;
    }
    const { libc, os, cpu } = platform;
    // In npm's own order of fields, so that its next change does not move lines.
    lock.packages[place] = {
      version,
      cpu,
      ...(dev ? { dev: true } : {}),
      ...(libc ? { libc } : {}),
      optional: true,
      os,
    };
    console.error(`added: ${name} ${version}`);
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
const completed = `${JSON.stringify(lock, null, 2)}\n`;
if (completed !== text) writeFileSync(file, completed);
