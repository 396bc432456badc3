// A verifier of stack-emu's audit logs and checkpoints: Node.js 18 or newer, or a browser, without dependencies.
//   node verify-audit.mjs [--json] [--head HASH] [--checkpoint FILE]... [--jwks FILE] FILE...
//   node verify-audit.mjs --jobs < jobs.jsonl     each line {"file", "head"?, "checkpoints"?, "jwks"?}; prints a verdict a line
//
// Exit code 0: every log holds; 1: one is broken; 2: a file or checkpoint cannot be used.
// In a browser: import { verify } from "./verify-audit.mjs"; await verify(bytes, { head, checkpoints: [text], jwks: object }).
// The rules are those of audit-format.md, section "What a verifier says", whose numbers stand beside them.

const { subtle } = globalThis.crypto ?? (await import("node:crypto")).webcrypto;

export const KINDS = ["edited", "deleted", "inserted", "swapped", "truncated", "forked", "rehashed"];
const FORMATS = ["stack-emu-audit/1", "stack-emu-journal/1"];
const RAW_FORMAT = "stack-audit-chain/1";
const TYP = "stack-emu-checkpoint+jws";
const AUDIENCE = "stack-emu:audit-checkpoint";
const ZEROS = "0".repeat(64);
const HASHED = ["entry_id", "timestamp", "operator_id", "agent_id", "layer", "action", "outcome", "prev_entry_hash"];
const MAX_LEVELS = 128;
const LONE_SURROGATE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;

const utf8 = new TextEncoder();

/** A file or checkpoint that cannot be judged. */
export class Unusable extends Error {}

// --- JSON ---------------------------------------------------------------------------------------------------------------
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const has = (object, name) => Object.prototype.hasOwnProperty.call(object, name);
const field = (object, name) => (has(object, name) ? object[name] : undefined);

/** Parse JSON strictly; throws a SyntaxError for what no log can hold. */
export function parseJson(text) {
  const value = JSON.parse(text);
  let level = [value];
  for (let depth = 0; level.length > 0; depth += 1) {
    const next = [];
    for (const item of level) {
      if (typeof item === "number" && !Number.isFinite(item)) throw new SyntaxError("a number beyond doubles");
      if (typeof item === "string" && LONE_SURROGATE.test(item)) throw new SyntaxError("a lone surrogate");
      if (typeof item !== "object" || item === null) continue;
      if (depth >= MAX_LEVELS) throw new SyntaxError("too many levels");
      if (Array.isArray(item)) for (const part of item) next.push(part);
      else
        for (const name of Object.keys(item)) {
          if (LONE_SURROGATE.test(name)) throw new SyntaxError("a lone surrogate");
          next.push(item[name]);
        }
    }
    level = next;
  }
  return value;
}

/** The canonical form (RFC 8785) of a parsed value, or null when it has none. `without` leaves out a name of the object itself. */
export function canonicalize(value, without) {
  if (value === null || typeof value === "boolean" || typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value) && !String(value).includes("e")) return null;
  if (typeof value === "number") return JSON.stringify(value);
  const parts = [];
  if (Array.isArray(value)) {
    for (const item of value) parts.push(canonicalize(item));
    return parts.includes(null) ? null : `[${parts.join(",")}]`;
  }
  for (const name of Object.keys(value).sort()) { // sort() compares UTF-16 code units, as the RFC wants
    if (name === without) continue;
    const text = canonicalize(value[name]);
    if (text === null) return null;
    parts.push(`${JSON.stringify(name)}:${text}`);
  }
  return `{${parts.join(",")}}`;
}

/** Hex SHA-256 of a text in UTF-8 (null: of nothing). */
export async function sha256(text) {
  const digest = new Uint8Array(await subtle.digest("SHA-256", utf8.encode(text ?? "")));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Order of labels by their bytes in UTF-8. */
export function compareLabels(one, other) {
  const [a, b] = [utf8.encode(one), utf8.encode(other)];
  const at = a.findIndex((byte, place) => byte !== b[place]);
  return at === -1 ? a.length - b.length : a[at] - (b[at] ?? -1);
}

// --- reading ------------------------------------------------------------------------------------------------------------
const asText = (value) => (typeof value === "string" ? value : undefined);
const asLabel = (value) => (typeof value === "string" ? value : canonicalize(value ?? null) ?? "");
const isCount = (value) => Number.isInteger(value) && Number.isSafeInteger(value);

function splitLines(bytes) {
  const lines = [];
  let start = 0;
  for (let at = bytes.indexOf(10); at !== -1; at = bytes.indexOf(10, start)) {
    lines.push(bytes.subarray(start, at));
    start = at + 1;
  }
  const ended = start === bytes.length;
  if (!ended) lines.push(bytes.subarray(start));
  return { lines, ended };
}

function sameBytes(bytes, text) {
  const other = utf8.encode(text ?? "");
  return text !== null && other.length === bytes.length && other.every((byte, at) => byte === bytes[at]);
}

function tryJson(data) {
  try {
    return parseJson(typeof data === "string" ? data : decodeUtf8(data, { ignoreBOM: true }));
  } catch {
    return undefined;
  }
}

/** Read a canonical log: its lines, each with its object, whether it is canonical, and its own hash. */
export async function readCanonical(bytes) {
  const { lines, ended } = splitLines(bytes);
  const read = await Promise.all(
    lines.map(async (raw) => {
      const content = tryJson(raw);
      if (!isObject(content)) return { content: null, canonical: false, head: false };
      const head = !has(content, "prev") && (has(content, "head") || has(content, "lanes"));
      const own = await sha256(canonicalize(content, head ? "head" : "hash"));
      return { content, canonical: sameBytes(raw, canonicalize(content)), head, own };
    }),
  );
  return { form: "canonical", lines: read, ended };
}

/** The hash of a raw row by STACK's published formula. */
export function entryHash(entry) {
  const body = {};
  for (const name of HASHED) body[name] = field(entry, name) ?? null;
  return sha256(JSON.stringify(body));
}

function decodeUtf8(bytes, options) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ...options }).decode(bytes);
  } catch {
    throw new Unusable("this is no text in UTF-8");
  }
}

/** Read raw rows in any of the three forms of an export; throws Unusable when the text is none. */
export async function readRaw(bytes) {
  const text = decodeUtf8(bytes);
  const file = /^\s*[[{]/.test(text) ? readJsonRows(text) : readCsvRows(text);
  if (file.rows.length > 0 && !file.rows.some((row) => has(row, "entry_hash") || has(row, "entry_id")))
    throw new Unusable("this holds no audit rows");
  file.own = await Promise.all(file.rows.map(entryHash));
  return file;
}

function readJsonRows(text) {
  const whole = tryJson(text);
  if (whole === undefined) {
    const rows = [];
    const places = [];
    text.split("\n").forEach((line, at) => {
      if (line.trim() === "") return;
      const row = tryJson(line);
      rows.push(isObject(row) ? row : {});
      places.push(at + 1);
    });
    return { form: "ndjson", rows, places };
  }
  if (isObject(whole) && !Array.isArray(field(whole, "entries"))) return { form: "ndjson", rows: [whole], places: [1] };
  const rows = (Array.isArray(whole) ? whole : whole.entries).map((row) => (isObject(row) ? row : {}));
  return { form: "json", rows, places: rows.map((_, at) => at + 1), count: isObject(whole) ? field(whole, "count") : undefined };
}

/** RFC 4180: records of cells, with the line each begins on. */
export function parseCsv(text) {
  const token = /(?:"([^"]*(?:""[^"]*)*)"|([^",\r\n][^,\r\n]*)?)(,|\r\n|\n|\r|$)/y;
  const records = [];
  let [cells, line, begin] = [[], 1, 1];
  while (token.lastIndex < text.length || cells.length > 0) {
    const found = token.exec(text);
    if (found === null) throw new Unusable("this is no CSV: a quote stands where none may");
    cells.push(found[1]?.replaceAll('""', '"') ?? found[2] ?? "");
    line += (found[0].match(/\r\n|\n|\r/g) ?? []).length;
    if (found[3] === ",") continue;
    if (cells.length > 1 || cells[0] !== "") records.push({ cells, line: begin });
    [cells, begin] = [[], line];
  }
  return records;
}

function readCsvRows(text) {
  const [header, ...records] = parseCsv(text);
  if (header === undefined || !(header.cells.includes("entry_id") || header.cells.includes("entry_hash")))
    throw new Unusable("this holds no audit rows");
  const value = (name, cell) => {
    if (cell === "") return null;
    if ((name === "timestamp" || name === "duration_ms") && /^-?(0|[1-9][0-9]{0,15})$/.test(cell)) return Number(cell);
    if (name === "metadata") return tryJson(cell) ?? cell;
    return /^'+[=+\-@\t\r]/.test(cell) ? cell.slice(1) : cell;
  };
  const rows = records.map(({ cells }) => {
    const row = {};
    header.cells.forEach((name, at) => {
      if (at < cells.length) row[name] = value(name, cells[at]);
    });
    return row;
  });
  return { form: "csv", rows, places: records.map((record) => record.line) };
}

/** Read a log of either kind, told apart by the first line that says which it is. */
export async function read(bytes) {
  const { lines } = splitLines(bytes);
  if (lines.every((line) => line.every((byte) => byte <= 32))) return readCanonical(bytes);
  for (const line of lines) {
    const value = tryJson(line);
    if (!isObject(value)) continue;
    if (["lane", "prev", "lanes", "head"].some((name) => has(value, name))) return readCanonical(bytes);
    if (["entry_id", "entry_hash", "entries"].some((name) => has(value, name))) break;
  }
  return readRaw(bytes);
}

// --- chains -------------------------------------------------------------------------------------------------------------
const broken = (kind, row, why) => ({ kind, line: row.line, lane: row.lane, why });

function groupBy(items, key) {
  const groups = new Map();
  for (const item of items) groups.get(key(item))?.push(item) ?? groups.set(key(item), [item]);
  return groups;
}

/** Whether the chains hold in this order of rows. */
function holds(rows, numbered) {
  const ends = new Map();
  const counts = new Map();
  let current;
  for (const row of rows) {
    if (numbered && row.lane !== current) {
      if (ends.has(row.lane) || (current !== undefined && compareLabels(row.lane, current) < 0)) return false;
      current = row.lane;
    }
    const due = ends.has(row.lane) ? ends.get(row.lane) : numbered ? ZEROS : row.link;
    const count = counts.get(row.lane) ?? 0;
    if (row.own !== row.recorded || (numbered && row.n !== count)) return false;
    if (row.link !== due || (numbered && row.link === undefined)) return false;
    ends.set(row.lane, row.recorded);
    counts.set(row.lane, count + 1);
  }
  return true;
}

/** The first break of the chains; `ends` is a Map of lane to hash, or undefined without a head. */
function chainBreak(rows, ends, numbered) {
  if (holds(rows, numbered)) return null;
  const lanes = groupBy(rows, (row) => row.lane);
  const position = new Map();
  for (const lane of lanes.values()) lane.forEach((row, at) => position.set(row, at));
  const byHash = groupBy(rows.filter((row) => row.recorded !== undefined), (row) => row.recorded);
  const linked = new Set(rows.map((row) => row.link).filter((link) => link !== undefined));
  for (const end of ends?.values() ?? []) if (end !== undefined) linked.add(end);

  const intact = (row) => row.own === row.recorded;
  const before = (row) => lanes.get(row.lane)[position.get(row) - 1];
  const after = (row) => lanes.get(row.lane)[position.get(row) + 1];
  const due = (row) => (before(row) !== undefined ? before(row).recorded : numbered ? ZEROS : row.link);
  const goesOnWithout = (row) => {
    if (due(row) === undefined) return false;
    if (after(row) !== undefined) return after(row).link === due(row);
    return ends !== undefined && ends.get(row.lane) === due(row);
  };

  const swapped = allThere(rows, lanes, position, ends, numbered); // rule 1
  if (swapped !== null) return swapped;

  const judgeAltered = (row) => { // rule 2
    if (linked.has(row.own)) return broken("edited", row, "its recorded hash was changed");
    if ((byHash.get(row.recorded) ?? []).some(intact)) return broken("inserted", row, "it carries another row's hash");
    if (linked.has(row.recorded)) return broken("edited", row, "it was edited after it was hashed");
    if (goesOnWithout(row)) return broken("inserted", row, "the chain goes on without it");
    return broken("edited", row, "its content does not have its hash");
  };

  const judgePlace = (row) => {
    const at = position.get(row);
    const rightNumber = !numbered || row.n === at;
    if (row.link !== undefined && row.link === due(row))
      return rightNumber ? null : broken("rehashed", row, `it is number ${row.n} where ${at} was due`); // rule 4
    if (byHash.get(row.recorded).length > 1) return broken("inserted", row, "it repeats another row"); // rule 5
    const rival = row.link === undefined ? undefined : lanes.get(row.lane).slice(0, at).find((other) => other.link === row.link);
    if (rival !== undefined) { // rule 6
      if (rival === before(row) && !linked.has(rival.recorded) && linked.has(row.recorded))
        return broken("inserted", rival, "the row behind it links past it");
      return broken("forked", row, `it links to the same row as line ${rival.line}`);
    }
    if (row.link === ZEROS && at > 0) return broken("inserted", lanes.get(row.lane)[0], "the chain begins behind it"); // rule 7
    if (!linked.has(row.recorded) && goesOnWithout(row)) return broken("inserted", row, "the chain goes on without it"); // rule 8
    const targets = row.link === undefined ? [] : byHash.get(row.link) ?? [];
    if (targets.some((other) => other.line > row.line)) return broken("swapped", row, "it was chained behind a later line"); // rule 9
    if (targets.length > 0) return broken("edited", row, "it was hashed anew"); // rule 10
    if (!numbered || !rightNumber) return broken("deleted", row, "a row before it is missing"); // rule 11
    return broken("edited", before(row) ?? row, "it was edited and hashed anew");
  };

  let current;
  const seen = new Set();
  for (const row of rows) {
    if (!intact(row)) return judgeAltered(row);
    if (numbered && row.lane !== current) { // rule 3
      if (seen.has(row.lane) || (current !== undefined && compareLabels(row.lane, current) < 0))
        return broken("swapped", row, "its lane belongs elsewhere");
      current = row.lane;
      seen.add(row.lane);
    }
    const found = judgePlace(row);
    if (found !== null) return found;
  }
  return null;
}

function allThere(rows, lanes, position, ends, numbered) {
  if (!rows.every((row) => row.own === row.recorded)) return null;
  const ordered = numbered ? byNumber(rows, ends) : byLinks(rows, lanes, position);
  if (ordered === null) return null;
  const at = rows.findIndex((row, place) => row !== ordered[place]);
  return at === -1 ? null : broken("swapped", rows[at], `line ${ordered[at].line} belongs there`);
}

function byNumber(rows, ends) {
  if (!rows.every((row) => isCount(row.n))) return null;
  const ordered = [...rows].sort((a, b) => compareLabels(a.lane, b.lane) || a.n - b.n);
  if (!holds(ordered, true)) return null;
  const last = new Map(ordered.map((row) => [row.lane, row.recorded]));
  if (ends !== undefined && (ends.size !== last.size || [...last].some(([lane, hash]) => ends.get(lane) !== hash))) return null;
  return ordered;
}

function byLinks(rows, lanes, position) {
  const chains = new Map();
  for (const [lane, members] of lanes) {
    const next = new Map(members.map((row) => [row.link, row]));
    const hashes = new Set(members.map((row) => row.recorded));
    const starts = members.filter((row) => !hashes.has(row.link));
    if (next.size !== members.length || starts.length !== 1) return null;
    const chain = [];
    for (let row = starts[0]; row !== undefined && chain.length < members.length; row = next.get(row.recorded)) chain.push(row);
    if (chain.length !== members.length) return null;
    chains.set(lane, chain);
  }
  return rows.map((row) => chains.get(row.lane)[position.get(row)]);
}

// --- whole logs ---------------------------------------------------------------------------------------------------------
function canonicalRows(file) {
  const headAt = file.lines.findIndex((line) => line.head);
  const rows = [];
  file.lines.slice(0, headAt === -1 ? undefined : headAt).forEach(({ content, own }, at) => {
    if (content === null) return;
    const [link, recorded] = [asText(field(content, "prev")), asText(field(content, "hash"))];
    rows.push({ line: at + 1, lane: asLabel(field(content, "lane")), link, recorded, own, n: field(content, "n") });
  });
  return { rows, headAt, head: headAt === -1 ? null : file.lines[headAt].content };
}

function endsOf(head) {
  const lanes = head === null ? undefined : field(head, "lanes");
  if (!isObject(lanes)) return undefined;
  return new Map(Object.keys(lanes).map((lane) => [lane, asText(lanes[lane])]));
}

function malformedLine(file) {
  let head = false;
  for (const [at, line] of file.lines.entries()) {
    const place = { line: at + 1, lane: line.content === null || line.head ? undefined : asLabel(field(line.content, "lane")) };
    if (head) return broken("inserted", { line: at + 1 }, "there is nothing behind the head of a log");
    if (line.content === null) {
      const cut = at + 1 === file.lines.length && !file.ended;
      return broken(cut ? "truncated" : "edited", place, cut ? "the file ends in this line" : "it is no JSON object");
    }
    if (!line.canonical) return broken("edited", place, "it is not in canonical form");
    head = line.head;
  }
  return null;
}

function canonicalBreak(file) {
  const { rows, headAt, head } = canonicalRows(file);
  const malformed = malformedLine(file);
  const chain = chainBreak(rows, endsOf(head), true);
  if (malformed !== null && (chain === null || malformed.line <= chain.line)) return malformed;
  if (chain !== null) return chain;
  const last = { line: file.lines.length, lane: rows.at(-1)?.lane };
  if (head === null) return broken("truncated", last, "there is no head");
  if (!file.ended) return broken("truncated", { line: last.line }, "the last line is not ended by a newline");
  return endBreak(head, file.lines[headAt].own, { line: headAt + 1 }, rows);
}

function endBreak(head, own, place, rows) {
  if (field(head, "head") !== own) return broken("edited", place, "the head was edited");
  if (!FORMATS.includes(field(head, "format"))) return broken("edited", place, "the format is unknown");
  if (!["commit", "content"].includes(field(head, "order"))) return broken("edited", place, "the order is unknown");
  const lanes = groupBy(rows, (row) => row.lane);
  const ends = endsOf(head) ?? new Map();
  const counted = field(head, "rows") === rows.length;
  for (const lane of [...new Set([...ends.keys(), ...lanes.keys()])].sort(compareLabels)) {
    const members = lanes.get(lane);
    if (members === undefined) return broken("truncated", { ...place, lane }, "all rows of the lane are missing");
    const last = members.at(-1);
    const end = ends.get(lane);
    if (end !== undefined && end === last.recorded) continue;
    if (!ends.has(lane)) return broken("inserted", members[0], "the head knows no such lane");
    const earlier = members.slice(0, -1).findIndex((row) => row.recorded === end);
    if (end !== undefined && earlier !== -1) return broken("inserted", members[earlier + 1], "the lane ends before it");
    if (counted) return broken("edited", last, "it was edited and hashed anew");
    return broken("truncated", last, "rows are missing behind it");
  }
  return counted ? null : broken("rehashed", place, "the head counts other rows");
}

function rawRows(file) {
  return file.rows.map((entry, at) => ({
    line: file.places[at],
    lane: asLabel(field(entry, "operator_id")),
    link: asText(field(entry, "prev_entry_hash")),
    recorded: asText(field(entry, "entry_hash")),
    own: file.own[at],
  }));
}

function rawBreak(file) {
  const rows = rawRows(file);
  const chain = chainBreak(rows, undefined, false);
  if (chain !== null || !isCount(file.count) || file.count === rows.length) return chain;
  const last = rows.at(-1) ?? { line: 0 };
  return broken(file.count > rows.length ? "truncated" : "inserted", last, `the export counts ${file.count} rows`);
}

const lastHash = (file) =>
  file.form === "canonical" ? asText(field(canonicalRows(file).head ?? {}, "head")) : rawRows(file).at(-1)?.recorded;

// --- checkpoints --------------------------------------------------------------------------------------------------------
function fromBase64url(text) {
  if (!/^[A-Za-z0-9_-]*$/.test(text) || text.length % 4 === 1) throw new Unusable("this is no checkpoint: no base64url");
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = Uint8Array.from(binary, (char) => char.charCodeAt(0));
  const again = btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  if (again !== text) throw new Unusable("this is no checkpoint: not the shortest base64url");
  return bytes;
}

/** What a checkpoint says, once its signature by one of the keys was verified; throws Unusable when it cannot be trusted. */
export async function verifyCheckpoint(text, jwks) {
  const compact = text.trim();
  const parts = compact.split(".");
  if (parts.length !== 3) throw new Unusable("this is no checkpoint: it is not a compact JWS");
  const [headerBytes, payload, signature] = parts.map(fromBase64url);
  const header = tryJson(headerBytes);
  if (!isObject(header) || field(header, "alg") !== "EdDSA" || field(header, "typ") !== TYP || has(header, "crit"))
    throw new Unusable("this is no checkpoint: its header says otherwise");
  const keys = Array.isArray(jwks?.keys) ? jwks.keys : [jwks];
  const jwk = keys.find((key) => isObject(key) && key.kty === "OKP" && key.crv === "Ed25519" && key.kid === header.kid);
  if (typeof header.kid !== "string" || jwk === undefined) throw new Unusable(`no key ${header.kid} in the key set`);
  const key = await subtle.importKey("jwk", { kty: "OKP", crv: "Ed25519", x: jwk.x }, { name: "Ed25519" }, false, ["verify"]);
  const signed = utf8.encode(`${parts[0]}.${parts[1]}`);
  if (!(await subtle.verify({ name: "Ed25519" }, key, signature, signed))) throw new Unusable("its signature is not the key's");
  const statement = tryJson(payload);
  if (!isObject(statement) || !(await isSound(statement))) throw new Unusable("it is signed, but says nothing sound of a log");
  return { statement, kid: header.kid, sha256: await sha256(compact) };
}

async function isSound(said) {
  if (field(said, "aud") !== AUDIENCE) return false;
  if (field(said, "format") === RAW_FORMAT) {
    const named = ["operator", "entry_hash"].every((name) => typeof field(said, name) === "string");
    return named && isCount(field(said, "entry_count")) && said.entry_count >= 0;
  }
  const lanes = field(said, "lanes");
  if (!FORMATS.includes(field(said, "format")) || !isObject(lanes)) return false;
  let heads = "";
  let rows = 0;
  for (const lane of Object.keys(lanes).sort()) {
    if (!isObject(lanes[lane]) || !isCount(field(lanes[lane], "rows")) || lanes[lane].rows < 1) return false;
    rows += lanes[lane].rows;
    heads += `${heads === "" ? "" : ","}${JSON.stringify(lane)}:${canonicalize(field(lanes[lane], "head") ?? null)}`;
  }
  const order = canonicalize(field(said, "order") ?? null);
  const last = `{"format":${JSON.stringify(said.format)},"lanes":{${heads}},"order":${order},"rows":${rows}}`;
  return field(said, "rows") === rows && field(said, "head") === (await sha256(last));
}

function checkpointBreak(file, said) {
  const found = file.form === "canonical" ? field(canonicalRows(file).head, "format") : RAW_FORMAT;
  if (found !== said.format) throw new Unusable("the checkpoint is about another kind of log");
  return file.form === "canonical" ? canonicalCheckpoint(file, said) : rawCheckpoint(rawRows(file), said);
}

function canonicalCheckpoint(file, said) {
  const { rows, head, headAt } = canonicalRows(file);
  const end = { line: headAt + 1 };
  if (head.order !== said.order) return broken("rehashed", end, "the order is another one");
  const lanes = groupBy(rows, (row) => row.lane);
  for (const lane of Object.keys(said.lanes).sort(compareLabels)) {
    const members = lanes.get(lane) ?? [];
    const signed = said.lanes[lane];
    if (members.length < signed.rows) return broken("truncated", members.at(-1) ?? { ...end, lane }, `it had ${signed.rows} rows`);
    const row = members[signed.rows - 1];
    if (row.recorded !== signed.head) return broken("rehashed", row, "it is not the row that was signed");
  }
  return rows.length === said.rows && head.head !== said.head ? broken("rehashed", end, "the head is another one") : null;
}

function rawCheckpoint(all, said) {
  const rows = all.filter((row) => row.lane === said.operator);
  const count = said.entry_count;
  if (count === 0) return null;
  if (rows.length === 0) return broken("truncated", { line: 0, lane: said.operator }, `there were ${count} rows`);
  const place = rows.findIndex((row) => row.recorded === said.entry_hash) + 1;
  if (place === count) return null;
  if (rows[0].link !== ZEROS) return broken("truncated", rows[0], "signed rows are missing before it");
  if (rows.length < count) return broken("truncated", rows.at(-1), `there were ${count} rows`);
  return broken("rehashed", rows[count - 1], "it is not the row that was signed");
}

// --- the whole ----------------------------------------------------------------------------------------------------------
/**
 * Verify a log, a Uint8Array, against what is known of it: `head`, texts of `checkpoints` (oldest first), `jwks`.
 * Throws Unusable when it is no audit log, or a checkpoint cannot be trusted.
 */
export async function verify(bytes, options = {}) {
  const file = await read(bytes);
  const rows = file.form === "canonical" ? file.lines.filter((line) => line.content !== null && !line.head).length : file.rows.length;
  let found = file.form === "canonical" ? canonicalBreak(file) : rawBreak(file);
  const head = lastHash(file) ?? "";
  if (found === null && options.head !== undefined && options.head !== head) {
    const last = file.form === "canonical" ? { line: file.lines.length } : rawRows(file).at(-1) ?? { line: 0 };
    found = broken(last.line === 0 ? "truncated" : "rehashed", last, "its end is not the one that is known");
  }
  const checkpoints = [];
  for (const text of options.checkpoints ?? []) checkpoints.push(await verifyCheckpoint(text, options.jwks));
  checkpoints.forEach((one, at) => {
    if (at > 0 && one.statement.previous !== checkpoints[at - 1].sha256) throw new Unusable("checkpoints do not name each other");
  });
  for (const one of checkpoints) found ??= checkpointBreak(file, one.statement);
  return {
    valid: found === null,
    form: file.form,
    rows,
    head,
    break: found === null ? null : { kind: found.kind, line: found.line, lane: found.lane ?? null, why: found.why },
    checkpoints: checkpoints.map(({ kid, sha256: hash }) => ({ kid, sha256: hash })),
  };
}

// --- Node.js ------------------------------------------------------------------------------------------------------------
async function main(given) {
  const { readFile } = await import("node:fs/promises");
  const load = (path, form) =>
    readFile(path, form).catch((error) => {
      throw new Unusable(`${path} cannot be read: ${error.code}`);
    });
  const judge = async ({ file, head, checkpoints = [], jwks }) => {
    try {
      if (checkpoints.length > 0 && jwks === undefined) throw new Unusable("a checkpoint proves nothing without --jwks");
      const keys = jwks === undefined ? undefined : tryJson(await load(jwks, "utf8"));
      if (jwks !== undefined && !isObject(keys)) throw new Unusable(`${jwks} is no key set`);
      const texts = await Promise.all(checkpoints.map((path) => load(path, "utf8")));
      return { file, ...(await verify(new Uint8Array(await load(file)), { head, checkpoints: texts, jwks: keys })) };
    } catch (error) {
      if (error instanceof Unusable) return { file, error: error.message };
      throw error;
    }
  };
  const options = { files: [], checkpoints: [] };
  for (let at = 0; at < given.length; at += 1) {
    if (given[at] === "--json" || given[at] === "--jobs") options[given[at].slice(2)] = true;
    else if (given[at] === "--head" || given[at] === "--jwks") options[given[at].slice(2)] = given[(at += 1)];
    else if (given[at] === "--checkpoint") options.checkpoints.push(given[(at += 1)]);
    else options.files.push(given[at]);
  }
  let jobs = options.files.map((file) => ({ ...options, file }));
  if (options.jobs) jobs = (await readFile("/dev/stdin", "utf8")).split("\n").filter(Boolean).map((line) => JSON.parse(line));
  if (jobs.length === 0) console.error("usage: node verify-audit.mjs [--json] [--head H] [--checkpoint FILE]... [--jwks FILE] FILE...");
  let code = jobs.length === 0 ? 2 : 0;
  for (const job of jobs) {
    const verdict = await judge(job);
    code = Math.max(code, verdict.error !== undefined ? 2 : verdict.valid ? 0 : 1);
    if (options.json || options.jobs) console.log(JSON.stringify(verdict));
    else if (verdict.error !== undefined) console.error(`${job.file}: ${verdict.error}`);
    else if (verdict.valid) console.log(`${job.file}: ${verdict.rows} rows, ${verdict.head}`);
    else console.log(`${job.file}: line ${verdict.break.line}: ${verdict.break.kind}: ${verdict.break.why}`);
  }
  return code;
}

if (typeof process !== "undefined" && process.argv?.[1] !== undefined) {
  const { pathToFileURL } = await import("node:url");
  const { realpath } = await import("node:fs/promises");
  const started = await realpath(process.argv[1]).catch(() => process.argv[1]);
  if (pathToFileURL(started).href === import.meta.url) process.exitCode = await main(process.argv.slice(2));
}
