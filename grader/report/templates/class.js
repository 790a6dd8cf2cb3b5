"use strict";
// Searches, sorts and filters the table of students. Without it the whole table shows.
(() => {
  const table = document.getElementById("table");
  const body = table.tBodies[0];
  const controls = document.getElementById("controls");
  const search = document.getElementById("search");
  const failed = document.getElementById("failed");
  const shown = document.getElementById("shown");
  const boxes = [...controls.querySelectorAll("[name=flag]")];
  const collator = new Intl.Collator(undefined, { numeric: true });
  const number = new Intl.NumberFormat("en");

  // Case and accents do not count in a search.
  const fold = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  const words = (text) => text.split(" ").filter(Boolean);

  const students = [...body.rows].map((row) => ({
    row,
    text: fold(`${row.cells[0].textContent} ${row.cells[1].textContent}`),
    failed: new Set(words(row.dataset.failed)),
    flags: words(row.dataset.flags),
  }));

  function filter() {
    const terms = words(fold(search.value));
    const flags = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    let count = 0;
    for (const student of students) {
      const fits =
        terms.every((word) => student.text.includes(word)) &&
        (!failed.value || student.failed.has(failed.value)) &&
        (!flags.size || student.flags.some((flag) => flags.has(flag)));
      student.row.hidden = !fits;
      count += fits;
    }
    shown.textContent = `${number.format(count)} of ${number.format(students.length)} shown`;
  }

  function compare(column, numeric) {
    const keys = new Map(
      students.map(({ row }) => {
        const text = row.cells[column].textContent;
        return [row, numeric ? Number(text || -1) : text];
      }),
    );
    return numeric
      ? (first, second) => keys.get(first.row) - keys.get(second.row)
      : (first, second) => collator.compare(keys.get(first.row), keys.get(second.row));
  }

  function sort(header, column) {
    const descending = header.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", descending ? "descending" : "ascending");
    students.sort(compare(column, header.classList.contains("number")));
    if (descending) students.reverse();
    body.append(...students.map((student) => student.row));
  }

  [...table.tHead.rows[0].cells].forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    button.addEventListener("click", () => sort(header, column));
    header.append(button);
  });

  // A count elsewhere on the page leads to the students that it counts.
  for (const link of document.querySelectorAll("a[data-flag], a[data-failed]")) {
    link.addEventListener("click", () => {
      controls.reset();
      failed.value = link.dataset.failed ?? "";
      for (const box of boxes) box.checked = box.value === link.dataset.flag;
      filter();
    });
  }

  controls.addEventListener("input", filter);
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.addEventListener("reset", () => setTimeout(filter));
  controls.hidden = false;
  filter();
})();
