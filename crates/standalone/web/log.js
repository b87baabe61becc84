// What a task prints, as it prints it.

import * as api from './api.js';
import { count } from './format.js';
import { h } from './dom.js';
import { Backoff, LINGER } from './store.js';

// More slows the browser down, and the command line has it all.
const MOST_LINES = 3000;
const BURST = 100;
const SLACK = 8;

// Programs colour what they print for terminals, which this isn't.
const COLOURS = /\u001b\[[0-9;]*m/g;

/** `ended` says whether the task has: then a log that ends is complete, else it's read again. */
export function openLog({ namespace, name }, ended) {
  const follow = h('input', { type: 'checkbox', checked: true, id: 'follow' });
  // A log is announced line by line unless told otherwise; that is too much of a program's output.
  const box = h('div', { class: 'log', role: 'log', 'aria-live': 'off', 'aria-labelledby': 'log-title', tabindex: '0', 'data-test': 'log' });
  const state = h('p', { class: 'quiet', 'data-test': 'log-state' });
  const screen = screenOf(box, follow);
  const node = h('section', {},
    h('div', { class: 'head' }, h('h2', { id: 'log-title' }, 'Log'), h('label', { class: 'check', for: 'follow' }, follow, 'Scroll to new lines')),
    box, state);

  const say = (text) => (state.textContent = text);
  const reader = new Reader({ namespace, name }, ended, screen, say);
  let leaving;
  const adjust = () => {
    clearTimeout(leaving);
    if (document.hidden) leaving = setTimeout(() => reader.stop(), LINGER);
    else reader.start();
  };
  document.addEventListener('visibilitychange', adjust);
  adjust();
  const close = () => {
    document.removeEventListener('visibilitychange', adjust);
    clearTimeout(leaving);
    reader.stop();
    screen.close();
  };
  return { node, close };
}

/** Reads the log until it's complete. A connection that breaks means all lines again, which then replace those that are shown. */
class Reader {
  #task;
  #ended;
  #screen;
  #say;
  #running;
  #complete = false;

  constructor(task, ended, screen, say) {
    [this.#task, this.#ended, this.#screen, this.#say] = [task, ended, screen, say];
  }

  start() {
    if (this.#complete || this.#running) return;
    this.#running = new AbortController();
    this.#run(this.#running.signal);
  }

  stop() {
    this.#running?.abort();
    this.#running = undefined;
  }

  async #run(signal) {
    const backoff = new Backoff();
    while (!signal.aborted && !this.#complete) {
      try {
        const before = this.#ended();
        await this.#read(signal, backoff);
        // The task may have ended after the last line was read and before anybody looked.
        this.#complete = before || this.#ended();
        const total = this.#screen.total();
        if (this.#complete) this.#say(total === 0 ? 'Nothing was printed.' : `${count(total, 'line')}. The log is complete.`);
      } catch (error) {
        if (signal.aborted || error.code === 401) return;
        const none = error.code === 404;
        this.#complete = none && this.#ended();
        if (none) this.#say(this.#complete ? 'No log is kept of this task.' : 'There is no log yet.');
        else this.#say('The log can’t be read now; trying again…');
      }
      if (!this.#complete) await backoff.wait(signal);
    }
  }

  async #read(signal, backoff) {
    const lines = await api.log(this.#task.namespace, this.#task.name, signal);
    this.#screen.restart();
    this.#say(this.#ended() ? '' : 'Following…');
    for await (const line of lines) {
      backoff.reset();
      this.#screen.add(line);
    }
    this.#screen.flush();
  }
}

/** The last lines, in a box that stays at its end as long as `follow` says so. */
function screenOf(box, follow) {
  let waiting = [];
  let stale = false;
  let total = 0;
  let attempt;
  let timer;
  const cut = h('p', { class: 'attempt' }, `Earlier lines are left out: these are the last ${MOST_LINES}.`);

  const flush = () => {
    clearTimeout(timer);
    timer = undefined;
    if (stale) box.replaceChildren();
    stale = false;
    box.append(...waiting.slice(-MOST_LINES));
    waiting = [];
    cut.remove();
    while (box.childElementCount > MOST_LINES) box.firstElementChild.remove();
    if (total > MOST_LINES) box.prepend(cut);
    if (follow.checked) box.scrollTop = box.scrollHeight;
  };
  const add = (line) => {
    // The first attempt needs no heading.
    const another = line.attempt !== (attempt ?? 1);
    if (another) waiting.push(h('p', { class: 'attempt' }, `Attempt ${line.attempt}`));
    attempt = line.attempt;
    waiting.push(row(line));
    total += 1;
    timer ??= setTimeout(flush, BURST);
  };
  const restart = () => {
    [stale, total, attempt, waiting] = [true, 0, undefined, []];
    timer ??= setTimeout(flush, BURST);
  };
  follow.addEventListener('change', flush);
  // Scrolling back means reading; scrolling to the end means following again.
  box.addEventListener('scroll', () => (follow.checked = box.scrollTop + box.clientHeight >= box.scrollHeight - SLACK));
  return { add, flush, restart, total: () => total, close: () => clearTimeout(timer) };
}

function row({ time, stream, line, marker }) {
  const [kind, mark] = marker ? ['marker', 'note'] : stream === 'stderr' ? ['stderr', 'err'] : ['stdout', ''];
  return h('div', { class: `line ${kind}`, 'data-stream': kind },
    h('time', { datetime: time, title: time }, clock(time)),
    h('span', { class: 'stream', title: mark && stream }, mark),
    h('span', { class: 'text' }, String(line).replace(COLOURS, '')));
}

function clock(time) {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return '';
  return `${date.toLocaleTimeString('en-GB')}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}
