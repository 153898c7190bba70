// The colours of the style sheet for what is drawn on a canvas, and which of the two sets is used.

const NAMES = [
  "text", "quiet", "line", "line-strong", "bid", "ask", "one", "five", "ten", "second",
  "missing", "missing-line", "doubtful",
];
const CHOICES = ["", "dark", "light"];
const WORDS = { "": "as the system", dark: "dark", light: "light" };
const STORED = "steelyard colours";

export const colours = {};
const listeners = new Set();
const probe = document.createElement("span");

// Call back when the colours, or the pixels to draw them with, have changed.
export function onRepaint(callback) {
  listeners.add(callback);
  return () => listeners.delete(callback);
}

// A button that goes through: as the system, dark, light.
export function startColours(button) {
  probe.hidden = true;
  document.body.append(probe);
  choose(button, CHOICES.includes(stored()) ? stored() : "");
  button.addEventListener("click", () => {
    const next = CHOICES[(CHOICES.indexOf(document.documentElement.dataset.colours) + 1) % 3];
    choose(button, next);
    try {
      localStorage.setItem(STORED, next);
    } catch (error) {
      console.info(`the choice of colours can't be kept: ${error.message}`);
    }
  });
  for (const query of ["(prefers-color-scheme: dark)", "(min-resolution: 1.5dppx)"]) {
    matchMedia(query).addEventListener("change", repaint);
  }
}

// A browser may forbid a page to keep anything.
function stored() {
  try {
    return localStorage.getItem(STORED) ?? "";
  } catch {
    return "";
  }
}

function choose(button, choice) {
  document.documentElement.dataset.colours = choice;
  button.textContent = `Colours: ${WORDS[choice]}`;
  repaint();
}

function repaint() {
  // A custom property says `light-dark(…)`; only a real one is computed to a colour.
  for (const name of NAMES) {
    probe.style.color = `var(--${name})`;
    colours[name] = getComputedStyle(probe).color;
  }
  for (const listener of listeners) listener();
}
