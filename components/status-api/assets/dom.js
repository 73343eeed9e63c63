// What the card and the pages beside it draw with. Every text from data becomes a text node.

const KEPT = "odoo-migration-status token";

/** An element with children; what is empty is left out. */
export function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children.filter(Boolean));
  return element;
}

/** A number, for a column of numbers. */
export const figure = (number) => ({ figure: String(number) });

/**
 * A table that is scrolled by itself where it is wider than the page, by the keyboard too; on a narrow screen each row
 * is a list, in which each cell has its head. A cell is a text, a figure or an array of elements.
 */
export function table(title, heads, rows) {
  const cell = (value, index) => {
    const drawn = make("td", value?.figure ? "figure" : "", ...[value?.figure ?? value].flat());
    if (drawn.hasChildNodes()) drawn.dataset.head = heads[index];
    return drawn;
  };
  return region(title,
    make("thead", "", make("tr", "", ...heads.map((name) => head(name, "col")))),
    make("tbody", "", ...rows.map((row) => make("tr", "", ...row.map(cell)))));
}

/** A table of names and what they are. */
export function pairs(title, rows) {
  const filled = rows.filter(([, value]) => value);
  return region(title, make("tbody", "", ...filled.map(([name, value]) => make("tr", "", head(name, "row"), make("td", "", value)))));
}

function region(title, ...parts) {
  return Object.assign(make("div", "wide", make("table", "", ...parts)), { tabIndex: 0, role: "region", ariaLabel: title });
}

const head = (name, scope) => Object.assign(make("th", "", name), { scope });

/** The token of this tab: from the card's page, or by the form of a page beside it, which looks again with it. */
export function signIn(look) {
  const [form, field, refused] = ["sign-in", "token", "refused"].map((id) => document.getElementById(id));
  let token = null;
  try {
    token = sessionStorage.getItem(KEPT);
  } catch {
    // A browser may forbid storage.
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    token = field.value.trim();
    field.value = "";
    try {
      sessionStorage.setItem(KEPT, token);
    } catch {
      // It lasts as long as the page.
    }
    look();
  });

  const send = (path, init = {}) => fetch(new URL(path, location.href), {
    ...init, credentials: "omit", headers: { ...init.headers, ...(token && { Authorization: `Bearer ${token}` }) },
  });
  return {
    send,
    /** The document at a path, or null: then the page says why there is none. */
    async read(path) {
      refused.textContent = "";
      let answer;
      try {
        answer = await send(path);
      } catch {
        refused.textContent = "The server cannot be reached.";
        return null;
      }
      const denied = [401, 403].includes(answer.status);
      form.hidden = !denied;
      if (answer.ok) return answer.json();
      if (!denied) refused.textContent = `The server answered ${answer.status}: try again in a minute.`;
      else if (token) refused.textContent = `The server answered ${answer.status}: is the token an admin's, and still good?`;
      return null;
    },
    /** Whether somebody has to sign in. */
    get isOpen() {
      return !form.hidden;
    },
  };
}
