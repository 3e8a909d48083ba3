// Does what the test says, one command after the other, and reports in order what the
// pages in the frames tell.

const frames = new Map();
const reports = [];
let sending = false;

// For pages: tells the test something of the frame.
window.report = async (frame, what) => {
  reports.push({ frame: Number(frame), ...what });
  if (sending) return;
  sending = true;
  while (reports.length > 0) {
    await fetch("/report", { method: "POST", body: JSON.stringify(reports.splice(0)) });
  }
  sending = false;
};

// The page of examples/browser, used as a person would.
function fill(page, fields) {
  const form = page.querySelector("#options");
  for (const [name, value] of Object.entries(fields)) form.elements[name].value = value;
  return form;
}

// Reports every child that is added to an element of the page, as it is added.
function watch(page, selector, told) {
  new MutationObserver((changes) => {
    for (const { addedNodes } of changes) addedNodes.forEach(told);
  }).observe(page.querySelector(selector), { childList: true });
}

const commands = {
  open({ frame, page }) {
    const element = document.createElement("iframe");
    element.name = frame;
    element.src = page;
    document.body.append(element);
    frames.set(frame, element);
    return element;
  },
  close({ frame }) {
    frames.get(frame)?.remove();
    frames.delete(frame);
    window.report(frame, { closed: true });
  },
  follow({ frame, page, fields }) {
    commands.open({ frame, page }).addEventListener("load", ({ target }) => {
      const inside = target.contentDocument;
      watch(inside, "#events", (row) => window.report(frame, { line: [...row.cells].map((cell) => cell.textContent).join("\t") }));
      watch(inside, "#notes", (note) => window.report(frame, { note: note.textContent }));
      fill(inside, fields).elements.follow.click();
    });
  },
  fill({ frame, fields }) {
    fill(frames.get(frame).contentDocument, fields);
  },
  load({ frame, key }) {
    window.report(frame, { value: localStorage.getItem(key), closed: true });
  },
  store({ frame, key, value }) {
    localStorage.setItem(key, value ?? "");
    window.report(frame, { closed: true });
  },
};

for (;;) {
  const command = await (await fetch("/command")).json();
  commands[command.do](command);
}
