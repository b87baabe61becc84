// The DOM, in small words. Everything that comes from tasks is untrusted, so text only ever becomes text nodes: there is no innerHTML here.

/**
 * Makes an element. Functions become listeners (`onclick`), everything else attributes; what is null, undefined or false is left out.
 * `value` is set as a property, and last, since a select takes it only when its options are there.
 */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false || name === 'value') continue;
    if (typeof value === 'function') node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...present(children));
  if (props.value !== undefined) node.value = props.value;
  return node;
}

/** What an input is that takes a name, a number or a reference, which no browser should correct. */
export const WORD = { type: 'text', autocomplete: 'off', spellcheck: 'false', autocapitalize: 'off' };

function present(children) {
  return children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false);
}

/** Replaces what is in `parent`. */
export function fill(parent, ...children) {
  parent.replaceChildren(...present(children));
}

/**
 * Changes the document and leaves the focus where a person had it: on the element with the same `data-focus`, if there still is one.
 * Where there is none (the Cancel button of a task that ended), the page's heading is better than nothing.
 */
export function keepFocus(change) {
  const before = document.activeElement;
  change();
  if (before === document.body || before.isConnected) return;
  const key = before.dataset.focus;
  const same = key && document.querySelector(`[data-focus="${CSS.escape(key)}"]`);
  (same || document.querySelector('main h1'))?.focus({ preventScroll: true });
}

/**
 * A part of a page. `pick` takes from the state of the page what the part shows, and only when that has changed, `build` builds it anew: selected
 * text and open details survive all other events. Where `pick` gives nothing, the part is hidden.
 */
export function part(node, pick, build) {
  let shown;
  const update = (state) => {
    const input = pick(state);
    const text = JSON.stringify(input) ?? '';
    if (text === shown) return;
    shown = text;
    const children = text === '' ? [] : present([build(input)]);
    keepFocus(() => node.replaceChildren(...children));
    node.hidden = children.length === 0;
  };
  return { node, update };
}

/** Tells people who don't see the page what has changed. Only for what matters: each of these interrupts a reader. */
export function announce(text) {
  document.getElementById('announcer').textContent = text;
}

/** A mark in words, with a sign before it that only repeats them: colour is never the sole sign. */
export function badge(tone, sign, text) {
  return h('span', { class: `badge ${tone}` }, h('span', { 'aria-hidden': 'true' }, sign), text);
}

/** Terms and what is known of them; what is unknown is left out. */
export function facts(entries, props = { class: 'facts' }) {
  const known = entries.filter(([, value]) => value !== '' && present([value]).length > 0);
  return h('dl', props, known.map(([term, value]) => h('div', {}, h('dt', {}, term), h('dd', {}, value))));
}

/** Text as it is. Long lines scroll in their own box, which the keyboard has to reach for that, and which then needs a name. */
export function verbatim(label, test, text = '') {
  return h('pre', { tabindex: '0', role: 'group', 'aria-label': label, 'data-test': test, 'data-focus': test }, text);
}

/** A heading that takes the focus when its page is opened. */
export function heading(...children) {
  return h('h1', { tabindex: '-1' }, ...children);
}

/** A place for what went wrong. It is there from the beginning, since readers only notice changes of an alert that they know. */
export function problem() {
  const node = h('p', { class: 'problem', role: 'alert', hidden: true, 'data-test': 'problem' });
  const show = (text) => {
    node.textContent = text ?? '';
    node.hidden = !text;
  };
  return { node, show };
}

/** A button for something that takes a while. It stays focusable meanwhile, which `disabled` wouldn't. */
export function action(label, props, run) {
  let busy = false;
  const click = async () => {
    if (busy) return;
    busy = true;
    button.setAttribute('aria-disabled', 'true');
    try {
      await run(button);
    } finally {
      busy = false;
      button.removeAttribute('aria-disabled');
    }
  };
  const button = h('button', { type: 'button', ...props, onclick: click }, label);
  return button;
}

/** Asks before something is done that can't be undone. True if it shall be done. */
export function confirm({ title, text, yes }) {
  return new Promise((resolve) => {
    const close = (answer) => () => dialog.close(answer);
    const dialog = h(
      'dialog',
      { 'aria-labelledby': 'confirm-title', 'aria-describedby': 'confirm-text', 'data-test': 'confirm' },
      h('h2', { id: 'confirm-title' }, title),
      h('p', { id: 'confirm-text' }, text),
      h('div', { class: 'actions' },
        h('button', { type: 'button', autofocus: true, 'data-test': 'confirm-no', onclick: close('no') }, 'Keep it'),
        h('button', { type: 'button', class: 'danger', 'data-test': 'confirm-yes', onclick: close('yes') }, yes)),
    );
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'yes');
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
