// How far an instrument's numbers can be trusted, in one word; from the best to the worst, as the API
// orders them. Each word has its mark in style.css.

const MEANINGS = {
  retired: "not followed any more: the venue has closed or delisted it, or it was unsubscribed",
  live: "current: the venue was heard just now, and every change of the book followed",
  stale: "nothing was heard for a while: the numbers are the last known ones",
  resyncing: "the connection was lost: a new snapshot of the book is on its way",
  gap: "a change of the book was missed: a new snapshot is on its way",
  recovering: "another worker takes the instrument over",
  waiting: "followed, but its first snapshot has not come yet",
};

export const STATUSES = Object.keys(MEANINGS);

// What a status means; a word that this page does not know yet stands for itself.
export function meaningOf(status) {
  return MEANINGS[status] ?? status;
}

// Fill a list with every status as it looks, and what it means.
export function showLegend(list) {
  for (const status of STATUSES) {
    const line = document.createElement("div");
    const pill = document.createElement("span");
    pill.className = "pill";
    pill.dataset.status = status;
    pill.textContent = status;
    const meaning = document.createElement("dd");
    meaning.textContent = meaningOf(status);
    line.append(document.createElement("dt"), meaning);
    line.firstChild.append(pill);
    list.append(line);
  }
}
