// Numbers as text. What is not known is a dash; the sign is always shown where it means a side.

export const UNKNOWN = "–";
const MINUS = "\u2212"; // as wide as a plus, so that columns stay aligned
const MAX_DECIMALS = 10;

// A fixed number of decimals with its sign: +0.124, −0.050, 0.000.
export function signed(value, decimals) {
  if (value === null) return UNKNOWN;
  const text = Math.abs(value).toFixed(decimals);
  return Number(text) === 0 ? text : (value < 0 ? MINUS : "+") + text;
}

export function fixed(value, decimals) {
  return value === null ? UNKNOWN : value.toFixed(decimals);
}

// USD in four figures at most: +812, −12.4k, +1.24M.
export function usd(value) {
  if (value === null) return UNKNOWN;
  const size = Math.abs(value);
  if (size < 999.5) return signed(value, 0);
  if (size < 999_950) return signed(value / 1e3, 1) + "k";
  if (size < 999_995_000) return signed(value / 1e6, 2) + "M";
  return signed(value / 1e9, 2) + "B";
}

// A rate as a part of a hundred: +0.0100 %. Funding is small.
export function percent(value) {
  return value === null ? UNKNOWN : `${signed(value * 100, 4)} %`;
}

// USD without a sign, for what has no side: 812, 12.4k.
export function dollars(value) {
  return usd(value).replace("+", "");
}

// The size of a level as the venue quotes it, in five figures at most.
export function size(value) {
  if (value === null) return UNKNOWN;
  if (value >= 100_000) return dollars(value);
  return String(Number(value.toPrecision(5)));
}

// How many decimals the shortest text of a number has: 2682.165 has 3, 1.2e-7 has 8.
export function decimalsOf(value) {
  const [digits, exponent] = String(value).split("e");
  const decimals = (digits.split(".")[1] ?? "").length - Number(exponent ?? 0);
  return Math.min(Math.max(decimals, 0), MAX_DECIMALS);
}

// In whole units, so that the page is calm while all is well.
export function age(milliseconds) {
  if (milliseconds === null) return UNKNOWN;
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < 1) return "<1 s";
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

export function duration(milliseconds) {
  if (milliseconds % 60_000 === 0) return `${milliseconds / 60_000} min`;
  return milliseconds % 1000 === 0 ? `${milliseconds / 1000} s` : `${milliseconds} ms`;
}

export function clock(milliseconds) {
  return new Date(milliseconds).toISOString().slice(11, 19);
}
