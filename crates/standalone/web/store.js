// What the server has, kept up to date: list once, then watch, as every Kubernetes controller does.
//
//   list --> watch --(ends, fails)--> watch from the last version seen
//    ^         |
//    +--(410)--+
//
// A store works only while somebody shows it and the tab is visible. A browser opens six connections to a server of HTTP/1.1, over all tabs:
// forgotten tabs would take them all, and then no request gets through.

import * as api from './api.js';

/** How long connections are kept that nobody looks at. */
export const LINGER = 3000;
const FIRST_PAUSE = 300;
const LONGEST_PAUSE = 8000;
const BURST = 80;

export const keyOf = ({ metadata }) => `${metadata.namespace}/${metadata.name}`;

/** A pause that doubles, with some luck in it so that tabs don't come back all at once. */
export class Backoff {
  #next = FIRST_PAUSE;

  reset() {
    this.#next = FIRST_PAUSE;
  }

  async wait(signal) {
    const pause = this.#next * (0.75 + Math.random() / 2);
    this.#next = Math.min(this.#next * 2, LONGEST_PAUSE);
    await new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, pause);
      signal.addEventListener('abort', done);
    });
  }
}

class Store {
  /** By `namespace/name`. */
  items = new Map();
  /** `idle`, `loading`, `live` or `reconnecting`. */
  state = 'idle';
  /** Why it is reconnecting, in words. */
  trouble = '';
  /** Who is told when the state changes. */
  onState = () => {};

  #plural;
  #version;
  #listeners = new Set();
  #running;
  #stopping;
  #telling;

  constructor(plural) {
    this.#plural = plural;
    document.addEventListener('visibilitychange', () => this.#adjust());
  }

  /** Calls `listener` now and after each burst of changes, until the function that is returned is called. */
  subscribe(listener) {
    this.#listeners.add(listener);
    this.#adjust();
    listener();
    return () => {
      this.#listeners.delete(listener);
      this.#adjust();
    };
  }

  /** Adds what the server has just made, so that its page doesn't have to wait for the watch to tell of it. */
  add(object) {
    if (!this.items.has(keyOf(object))) this.items.set(keyOf(object), object);
    this.#tell();
  }

  /** Forgets everything: whoever comes next may see other things. */
  clear() {
    this.#stop();
    this.items = new Map();
    this.#version = undefined;
    this.#say('idle');
  }

  #adjust() {
    const wanted = this.#listeners.size > 0 && !document.hidden;
    clearTimeout(this.#stopping);
    if (!wanted) this.#stopping = setTimeout(() => this.#stop(), LINGER);
    else if (!this.#running) this.#start();
  }

  #start() {
    this.#running = new AbortController();
    if (this.state !== 'live') this.#say('loading');
    this.#run(this.#running.signal);
  }

  #stop() {
    this.#running?.abort();
    this.#running = undefined;
    if (this.state !== 'live') this.#say('idle');
  }

  async #run(signal) {
    const backoff = new Backoff();
    while (!signal.aborted) {
      try {
        if (!this.#version) await this.#list(signal);
        await this.#watch(signal, backoff);
      } catch (error) {
        if (signal.aborted || error.code === 401) return;
        if (error.code === 410) this.#version = undefined;
        else this.#say('reconnecting', error instanceof api.ApiError ? error.message : 'The server can’t be reached');
      }
      await backoff.wait(signal);
    }
  }

  async #list(signal) {
    const items = new Map();
    let page;
    do {
      page = await api.list(this.#plural, page?.metadata.continue, signal);
      for (const item of page.items) items.set(keyOf(item), item);
    } while (page.metadata.continue);
    this.items = items;
    this.#version = page.metadata.resourceVersion;
    this.#tell();
  }

  async #watch(signal, backoff) {
    const events = await api.watch(this.#plural, this.#version, signal);
    this.#say('live');
    // A server that ends every watch at once must not be asked in a tight loop; one that had something to say, or held on, may be.
    const calm = setTimeout(() => backoff.reset(), LONGEST_PAUSE);
    try {
      for await (const event of events) {
        this.#apply(event);
        backoff.reset();
      }
    } finally {
      clearTimeout(calm);
    }
  }

  #apply({ type, object }) {
    if (type === 'ERROR') throw new api.ApiError(object.code, object.message);
    this.#version = object.metadata.resourceVersion;
    if (type === 'BOOKMARK') return;
    if (type === 'DELETED') this.items.delete(keyOf(object));
    else this.items.set(keyOf(object), object);
    this.#tell();
  }

  #say(state, trouble = '') {
    if (state === this.state && trouble === this.trouble) return;
    [this.state, this.trouble] = [state, trouble];
    this.onState();
    this.#tell();
  }

  /** Listeners build pages, which is too much for each of a thousand events. */
  #tell() {
    this.#telling ??= setTimeout(() => {
      this.#telling = undefined;
      for (const listener of this.#listeners) listener();
    }, BURST);
  }
}

export const tasks = new Store('tasks');
export const proplets = new Store('proplets');
