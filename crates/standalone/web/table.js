// Tables that follow what they show. A row is built anew only when its version changes, and rows that stay aren't moved, so that the focus and
// selected text survive the changes of others.

import { h, keepFocus } from './dom.js';

/**
 * `columns` are `{label, cell}`; the first one names the row. `key` identifies an item, `version` changes with what is shown of it.
 *
 * On narrow screens the style sheet lays rows out as cards, and browsers then take the table for no table; hence the roles.
 */
export function table({ caption, columns, key, version, empty, test }) {
  const rows = new Map();
  const body = h('tbody', { role: 'rowgroup' });
  const grid = h('table', { role: 'table', 'data-test': test },
    h('caption', { class: 'unseen' }, caption),
    h('thead', { role: 'rowgroup' },
      h('tr', { role: 'row' }, columns.map(({ label }) => h('th', { role: 'columnheader', scope: 'col' }, label)))),
    body);
  const nothing = h('p', { class: 'empty' }, empty);
  const node = h('div', { class: 'table' }, grid, nothing);

  const update = (items) => {
    const kept = new Set(items.map(key));
    keepFocus(() => {
      for (const [name, row] of rows) if (!kept.has(name)) drop(rows, name, row.node);
      items.forEach((item, place) => {
        const row = current(item);
        if (body.children[place] !== row) body.insertBefore(row, body.children[place] ?? null);
      });
    });
    grid.hidden = items.length === 0;
    nothing.hidden = items.length > 0;
  };

  const current = (item) => {
    const [name, now] = [key(item), version(item)];
    const old = rows.get(name);
    if (old?.version === now) return old.node;
    const node = line(columns, name, item);
    if (old) old.node.replaceWith(node);
    rows.set(name, { node, version: now });
    return node;
  };

  return { node, update };
}

function drop(rows, name, node) {
  rows.delete(name);
  node.remove();
}

function line([head, ...columns], name, item) {
  return h('tr', { role: 'row', 'data-key': name },
    h('th', { role: 'rowheader', scope: 'row' }, head.cell(item)),
    columns.map(({ label, cell }) => h('td', { role: 'cell', 'data-label': label }, h('div', {}, cell(item)))));
}

/** A table of what doesn't change while it is shown. */
export function fixed(caption, columns, items) {
  const made = table({ caption, columns, key: (item) => items.indexOf(item), version: () => 0, empty: '' });
  made.update(items);
  return made.node;
}
