// Keys for the review pages, and points as boxes are ticked. Every page works without it.
"use strict";

function isTyping(element) {
  return element.matches("textarea, input:not([type=checkbox]), select");
}

function act(target) {
  if (isTyping(target)) {
    target.focus();
  } else {
    target.click();
  }
}

function pressed(event) {
  const digit = event.code.match(/^(?:Digit|Numpad)([1-9])$/);
  if (digit && event.shiftKey) {
    return `Shift+${digit[1]}`;
  }
  return digit ? digit[1] : event.key;
}

document.addEventListener("keydown", (event) => {
  const focused = document.activeElement;
  const saves = event.key === "Enter" && (event.ctrlKey || event.metaKey);
  if (event.isComposing || event.altKey || ((event.ctrlKey || event.metaKey) && !saves)) {
    return;
  }
  if (isTyping(focused) && !saves) {
    if (event.key === "Escape") {
      focused.blur();
    }
    return;
  }
  if (event.key === "Enter" && !saves && focused.matches("a, button, summary")) {
    return;
  }
  const key = CSS.escape(saves ? "Enter" : pressed(event));
  const target = document.querySelector(`[data-key="${key}"]`);
  if (target) {
    event.preventDefault();
    act(target);
  }
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-snippet]");
  if (button) {
    const comment = document.getElementById("comment");
    comment.value = [comment.value.trimEnd(), button.dataset.snippet].filter(Boolean).join("\n");
  }
});

function showPoints(form) {
  const ticked = [...form.querySelectorAll("[data-points]:checked")];
  const found = ticked.reduce((sum, box) => sum + Number(box.dataset.points), 0);
  const adjustment = Number(form.elements.adjustment.value.replace(",", ".")) || 0;
  const sum = Number(form.dataset.start) + found + adjustment;
  const points = Math.min(Math.max(sum, 0), Number(form.dataset.possible));
  document.getElementById("points").textContent = Number(points.toFixed(2)).toString();
}

const form = document.querySelector("form.judge");
if (form) {
  form.addEventListener("input", () => showPoints(form));
  showPoints(form);
}
