// Propeller's page: what `propeller up` runs, in a browser.
//
//   address --> app.js --> a view (tasks, task, proplets, components) --> store.js, api.js --> the HTTP API
//
// A view is `{title, node, close}`: it shows itself, follows the stores it has subscribed to, and leaves them when it's closed. There is no build
// step and nothing from elsewhere: what is in this folder is what the browser gets.

import * as api from './api.js';
import { fill, h, heading } from './dom.js';
import { tick } from './format.js';
import { proplets, tasks } from './store.js';
import { openComponents } from './components.js';
import { openProplet, openProplets } from './proplets.js';
import { openTask } from './task.js';
import { openTasks } from './tasks.js';

const ROUTES = [
  [/^\/tasks\/([^/]+)\/([^/]+)$/, openTask],
  [/^\/tasks$/, openTasks],
  [/^\/proplets\/([^/]+)\/([^/]+)$/, openProplet],
  [/^\/proplets$/, openProplets],
  [/^\/components$/, openComponents],
];
const TICK = 5000;

const main = document.getElementById('main');
const nav = document.getElementById('nav');
let view;
let complaint = '';

// ---- The token

/** The address is what people share and what browsers remember, so the token doesn't stay in it. */
function takeToken() {
  const [, found] = /^#token=([^&]+)/.exec(location.hash) ?? [];
  if (!found) return;
  api.token.set(decode(found));
  history.replaceState(null, '', `${location.pathname}#/tasks`);
  forget();
}

/** What isn't percent-encoded as it should be is taken as it is. */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function forget() {
  tasks.clear();
  proplets.clear();
}

function refused() {
  api.token.clear();
  forget();
  complaint = 'The server didn’t take the token.';
  render();
}

function openTokenForm() {
  const input = h('input', { id: 'token', type: 'password', autocomplete: 'off', spellcheck: 'false', 'aria-describedby': 'token-hint token-error' });
  const error = h('p', { class: 'error', id: 'token-error', role: 'alert' }, complaint);
  const enter = (event) => {
    event.preventDefault();
    const typed = input.value.trim();
    if (!/^[\x21-\x7e]+$/.test(typed)) {
      error.textContent = 'Type the token. It has no spaces in it.';
      return input.focus();
    }
    api.token.set(typed);
    complaint = '';
    render();
  };
  const node = h('form', { class: 'token', onsubmit: enter, 'data-test': 'token-form' },
    heading('Propeller asks for its token'),
    h('div', { class: 'field' },
      h('label', { for: 'token' }, 'Token'), input,
      h('p', { class: 'hint', id: 'token-hint' }, 'It is in the file ', h('code', {}, 'token'), ' of the directory that ', h('code', {}, 'propeller up'), ' named as its state.'),
      error),
    h('div', { class: 'actions' }, h('button', { type: 'submit', class: 'primary' }, 'Enter')));
  return { title: 'Token', node, close: () => {} };
}

// ---- The views

/** The tasks are the beginning of everything, also of addresses that lead nowhere. */
function openView() {
  const [path, query] = location.hash.slice(1).split('?', 2);
  for (const [pattern, open] of ROUTES) {
    const found = pattern.exec(path);
    if (found) return open(found.slice(1).map(decode), new URLSearchParams(query));
  }
  return openTasks();
}

let entered = false;

function render() {
  const first = view === undefined;
  view?.close();
  const known = api.token.get() !== null;
  view = known ? openView() : openTokenForm();
  fill(main, view.node);
  document.title = `${view.title} – Propeller`;
  nav.hidden = !known;
  markNav();
  // As after any navigation: from the top, with the heading read out. The first page is the browser's to announce.
  window.scrollTo(0, 0);
  if (!first || !known) main.querySelector(known ? 'h1' : '#token').focus({ preventScroll: true });
  if (known && !entered) showVersion();
  entered = known;
}

function markNav() {
  const section = location.hash.split(/[/?]/)[1] || 'tasks';
  for (const link of nav.children) {
    if (link.hash === `#/${section}`) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
}

// ---- The frame

/** One word for all that is followed; it changes seldom, and is then announced. */
function showConnection() {
  const node = document.getElementById('connection');
  const stores = [tasks, proplets];
  const state = ['reconnecting', 'loading', 'live', 'idle'].find((state) => stores.some((store) => store.state === state));
  const text = { reconnecting: 'Reconnecting…', loading: 'Connecting…', live: 'Live', idle: '' }[state];
  node.dataset.state = state;
  node.title = stores.map(({ trouble }) => trouble).find(Boolean) ?? '';
  if (node.textContent !== text) node.textContent = text;
}

async function showVersion() {
  const { version } = await api.version().catch(() => ({}));
  document.getElementById('version').textContent = version ? `Propeller ${version}` : '';
}

function skip(event) {
  event.preventDefault();
  main.focus();
}

api.whenUnauthorized(refused);
for (const store of [tasks, proplets]) store.onState = showConnection;
document.getElementById('skip').addEventListener('click', skip);
window.addEventListener('hashchange', () => {
  takeToken();
  render();
});
setInterval(tick, TICK);
takeToken();
render();
