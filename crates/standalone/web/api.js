// The HTTP API, which has the shape of Kubernetes': the only module that speaks to the server.

export const API_VERSION = 'propeller.dev/v1alpha1';
const ROOT = `/apis/${API_VERSION}`;
const TOKEN = 'propeller-token';

/** What the server refused, in its own words: the `message` of a Kubernetes `Status`. */
export class ApiError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

let onUnauthorized = () => {};

/** Who is told that the token isn't, or is no longer, the server's. */
export function whenUnauthorized(listener) {
  onUnauthorized = listener;
}

// Kept for this tab only, and for no longer than it: the token lets everybody in who has it.
export const token = {
  get: () => sessionStorage.getItem(TOKEN),
  set: (value) => sessionStorage.setItem(TOKEN, value),
  clear: () => sessionStorage.removeItem(TOKEN),
};

/**
 * JSON without loss. JavaScript's numbers round whole numbers beyond 2^53, and a task that is run again must not get other arguments than the
 * first time. Where the browser doesn't have `JSON.rawJSON`, it's rounded after all.
 */
export function parse(text) {
  return JSON.parse(text, (_key, value, context) => {
    if (typeof value !== 'number' || !JSON.rawJSON) return value;
    const rounded = Number.isInteger(value) && !Number.isSafeInteger(value) && /^-?\d+$/.test(context.source);
    return rounded || Object.is(value, -0) ? JSON.rawJSON(context.source) : value;
  });
}

async function send(path, { method = 'GET', body, type = 'application/json', signal } = {}) {
  const used = token.get();
  const headers = { Accept: 'application/json', Authorization: `Bearer ${used}` };
  if (body !== undefined) headers['Content-Type'] = type;
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body), signal, cache: 'no-store' });
  if (response.ok) return response;
  // An answer to an older token says nothing about the one that was typed meanwhile.
  if (response.status === 401 && used === token.get()) onUnauthorized();
  throw new ApiError(response.status, await reason(response));
}

async function reason(response) {
  const text = await response.text().catch(() => '');
  try {
    return JSON.parse(text).message || `The server says ${response.status}`;
  } catch {
    return text.slice(0, 300) || `The server says ${response.status} ${response.statusText}`;
  }
}

async function json(path, options) {
  return parse(await (await send(path, options)).text());
}

/** The values of a stream of JSON lines, as they arrive. */
async function* lines(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const whole = (rest + value).split('\n');
      rest = whole.pop();
      for (const line of whole) if (line.trim()) yield parse(line);
    }
  } finally {
    // Whoever has read enough must not leave the connection open.
    reader.cancel().catch(() => {});
  }
}

function resource(plural, namespace, name) {
  const path = `${ROOT}/namespaces/${encodeURIComponent(namespace)}/${plural}`;
  return name === undefined ? path : `${path}/${encodeURIComponent(name)}`;
}

/** One page of a list over all namespaces. */
export function list(plural, next, signal) {
  const query = new URLSearchParams({ limit: '500', ...(next && { continue: next }) });
  return json(`${ROOT}/${plural}?${query}`, { signal });
}

/** What happens to a list after `version`. It resolves when the server has begun to answer. */
export async function watch(plural, version, signal) {
  const query = new URLSearchParams({ watch: 'true', resourceVersion: version, allowWatchBookmarks: 'true' });
  return lines(await send(`${ROOT}/${plural}?${query}`, { signal }));
}

export async function log(namespace, name, signal) {
  return lines(await send(`${resource('tasks', namespace, name)}/log?follow=true`, { signal }));
}

export function create(task) {
  return json(resource('tasks', task.metadata.namespace), { method: 'POST', body: task });
}

export function patch(plural, { namespace, name }, body) {
  return json(resource(plural, namespace, name), { method: 'PATCH', body, type: 'application/merge-patch+json' });
}

export async function remove(plural, { namespace, name }) {
  await send(resource(plural, namespace, name), { method: 'DELETE' });
}

export function inspect(image, signal) {
  return json(`${ROOT}/components?${new URLSearchParams({ image })}`, { signal });
}

export function version() {
  return json('/version');
}
