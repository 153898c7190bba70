// The keyboard: everything that a mouse can do.

const $ = (id) => document.getElementById(id);

// `change(part)` changes the view, `view()` is the present one, `chooseLength(n)` the n-th length.
export function startKeys({ board, change, view, chooseLength }) {
  $("find").addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      $("find").value = "";
      change({ find: "" });
      event.stopPropagation(); // it must not leave the instrument, too
    } else if (event.key === "Enter" && board.names.length) {
      change({ instrument: board.names[0] });
    } else if (event.key === "ArrowDown") {
      event.preventDefault();
      focusRow(0);
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target === $("find")) return;
    const isDigit = /^[1-9]$/.test(event.key);
    const act = isDigit ? () => chooseLength(event.key - 1) : ACTIONS[event.key];
    if (act === undefined || act(event) === false) return;
    event.preventDefault();
  });

  const ACTIONS = {
    "/": () => $("find").focus(),
    "[": () => step(-1),
    "]": () => step(1),
    ArrowDown: (event) => moveInList(event, 1),
    ArrowUp: (event) => moveInList(event, -1),
    Escape: () => {
      const { instrument, from } = view();
      if (from !== null) change({ from: null, to: null });
      else if (instrument) change({ instrument: "" });
      if (from === null && instrument) focusRow(board.names.indexOf(instrument));
    },
  };

  // The instrument before or after the present one, in the order of the list.
  function step(by) {
    const { names } = board;
    const { instrument } = view();
    if (!instrument || !names.length) return;
    const place = names.indexOf(instrument) + by;
    change({ instrument: names[(place + names.length) % names.length] });
  }

  function moveInList(event, by) {
    const row = event.target.closest?.("tbody tr")?.row;
    if (!row) return false;
    const { names } = board;
    const place = names.indexOf(row.name) + by;
    if (place < 0) $("find").focus();
    else focusRow(Math.min(place, names.length - 1));
    return true;
  }

  function focusRow(place) {
    board.rows.get(board.names[place])?.link.focus();
  }
}
