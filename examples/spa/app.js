// SPDX-License-Identifier: Apache-2.0
// A page whose API is at another origin, behind coatcheck. What it knows of the session is what answers say:
// the browser keeps the cookie, no script can read it, and there is no token to keep.
const gateway = document.querySelector('meta[name="gateway"]').content;
const $ = (id) => document.getElementById(id);

/* ---- Asking: each answer is yes, or one of these kinds of no ---- */

class No extends Error {
  /** kind: signed-out, step-up (both with `page`, where to send the person), unavailable (try again), failed */
  constructor(kind, page, retryAfter) {
    super(kind);
    this.kind = kind;
    this.page = page;
    this.waitSeconds = Math.min(Number(retryAfter) || 2, 60);
  }
}

async function ask(path, options) {
  let res, body;
  try {
    res = await fetch(gateway + path, { credentials: 'include', signal: AbortSignal.timeout(15000), ...options });
    body = await res.json();
  } catch {
    if (!res || res.ok) throw new No('unavailable'); // no answer, or half of one, says nothing about the session
  }
  if (res.ok) return body;
  throw new No(kindOf(res, body?.error?.code), pageOf(res), res.headers.get('retry-after'));
}

/** Only a 401 that names the sign-in page comes from the gateway and means that nobody is signed in. */
function kindOf(res, code) {
  if (res.status === 401 && pageOf(res)) return 'signed-out';
  if (res.status === 403 && pageOf(res) && code === 'step_up_required') return 'step-up';
  return [429, 502, 503, 504].includes(res.status) ? 'unavailable' : 'failed';
}

/** The page that the gateway names, if it is the gateway's own. */
function pageOf(res) {
  const page = res.headers.get('x-auth-login');
  return page?.startsWith(`${gateway}/`) ? page : null;
}

const post = (path, json) =>
  ask(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(json) });

/* ---- Going to the sign-in page and coming back ---- */

/** A page of the gateway, with the way back, which must not have a fragment. */
const withReturn = (page) => `${page}?return=${encodeURIComponent(location.href.split('#')[0])}`;

/** What this tab must not forget while the person is away: {user, item: text, cancel: order}; asked: sent away already. */
const unfinished = {
  get: () => JSON.parse(sessionStorage.getItem('unfinished') ?? '{}'),
  keep: (more) => sessionStorage.setItem('unfinished', JSON.stringify({ ...unfinished.get(), ...more })),
  forget: () => sessionStorage.removeItem('unfinished'),
};

/** Go on where the person was. A page that opens changes nothing by itself: the button must be pressed again. */
function resume({ user: whose, item, cancel: id }) {
  if (whose !== user) return '';
  $('item').value ||= item ?? '';
  const button = buttonOf(id);
  button?.focus();
  return button ? 'Press the button once more to cancel this order.' : '';
}

/* ---- Showing ---- */

let user = null; // who is shown, if anybody
let timer = 0; // of the next attempt, while there is no answer

/** Say something, with something to do about it: a link {text: address} or a button {text: function}. */
function say(text, actions = {}) {
  const parts = Object.entries(actions).map(([name, action]) => {
    const element = document.createElement(typeof action === 'string' ? 'a' : 'button');
    element.textContent = name;
    if (typeof action === 'string') element.href = action;
    else element.addEventListener('click', action);
    return element;
  });
  $('notice').replaceChildren(...(text ? [text, ...parts] : []));
}

const buttonOf = (id) => document.querySelector(`button[data-order="${id}"]`);

function list(orders) {
  const focused = document.activeElement?.dataset.order;
  $('orders').replaceChildren(...orders.map(({ id, item }) => {
    const entry = document.createElement('li');
    const button = document.createElement('button');
    button.textContent = 'Cancel';
    button.setAttribute('aria-label', `Cancel ${item}`);
    button.dataset.order = id;
    button.addEventListener('click', () => cancel(id, item));
    entry.append(item, button);
    return entry;
  }));
  $('none').hidden = orders.length > 0;
  if (focused) (buttonOf(focused) ?? $('title')).focus(); // the button is a new one, or has gone with its order
}

function showPerson(who) {
  if (who !== user) $('item').value = ''; // of the one before
  user = who;
  $('user').textContent = who;
  document.querySelector('header').hidden = $('content').hidden = false;
}

/** Nothing of a person stays in a page that nobody is signed in at. */
function showNobody() {
  user = null;
  clearTimeout(timer);
  document.querySelector('header').hidden = $('content').hidden = true;
  for (const id of ['user', 'until', 'orders']) $(id).replaceChildren();
  $('item').value = '';
  $('title').focus();
}

/* ---- When the answer is no ---- */

/** doing: what the person wanted, for when they come back. */
function explain(no, doing) {
  if (!(no instanceof No)) throw no;
  if (user) unfinished.keep({ user, item: $('item').value, ...doing });
  if (no.kind === 'step-up' && doing) {
    location.assign(withReturn(no.page));
  } else if (no.kind === 'step-up') {
    say('Please confirm that it is you.', { Confirm: withReturn(no.page) });
  } else if (no.kind === 'signed-out') {
    const text = user ? 'You are not signed in any more. What you typed in is kept.' : 'You are not signed in.';
    showNobody();
    say(text, { 'Sign in': withReturn(no.page) });
  } else if (no.kind === 'unavailable') {
    say('There is no answer at the moment. That does not sign you out. Trying again shortly.', { 'Try now': load });
    clearTimeout(timer); // and not all at once: many pages may be waiting for the end of the same outage
    timer = setTimeout(load, no.waitSeconds * 1000 * (1 + Math.random()));
  } else {
    say('That did not work. Please reload the page and try again.');
  }
}

/* ---- What a person can do ---- */

let loading = null;
const load = () => (loading ??= loadOnce().finally(() => (loading = null)));

async function loadOnce() {
  const waited = timer !== 0;
  clearTimeout(timer);
  timer = 0;
  try {
    const [who, orders] = await Promise.all([ask('/api/me'), ask('/api/orders')]);
    showPerson(who.user);
    list(orders);
    say(resume(unfinished.get()) || (waited ? 'It works again. Look at the list before you repeat anything.' : ''));
    unfinished.forget();
  } catch (no) {
    // Visitors are sent to the sign-in page at once, but once: if that brought no session, it would not the next time.
    if (no.kind !== 'signed-out' || user || unfinished.get().asked) return explain(no);
    unfinished.keep({ asked: true });
    location.replace(withReturn(no.page));
    return;
  }
  ask('/auth/session').then(({ ends_ms: ends }) => {
    const time = new Date(ends).toLocaleTimeString([], { timeStyle: 'short' });
    $('until').textContent = `until ${time} at the latest`;
  }, () => {}); // nice to know, no more
}

let busy = false;

/** A change is sent once, never again by itself: without an answer nobody knows whether it was made. The list shows it. */
async function change(path, json, done, doing) {
  if (busy) return;
  busy = true;
  try {
    list(await post(path, json));
    say(done);
    return true;
  } catch (no) {
    explain(no, doing);
  } finally {
    busy = false;
  }
}

async function order(event) {
  event.preventDefault();
  const item = $('item').value.trim();
  if (await change('/api/orders', { item }, `Ordered: ${item}.`, {})) $('item').value = '';
}

const cancel = (id, item) => change('/api/orders/cancel', { id }, `Cancelled: ${item}.`, { cancel: id });

async function signOut() {
  try {
    const { csrf } = await ask('/auth/csrf');
    await ask('/auth/logout', { method: 'POST', headers: { 'x-csrf-token': csrf } });
  } catch (no) {
    if (!(no instanceof No)) throw no;
    if (no.kind !== 'signed-out') return say('It is not certain that you were signed out. Please try again.');
  }
  unfinished.forget();
  showNobody();
  say('You are signed out.', { 'Sign in': withReturn(`${gateway}/auth/login`) });
}

$('account').href = `${gateway}/auth/`;
$('order').addEventListener('submit', order);
$('sign-out').addEventListener('click', signOut);
// Back from another page or tab: that may be long ago, and somebody else may be signed in by now.
addEventListener('pageshow', (event) => event.persisted && load());
document.addEventListener('visibilitychange', () => user && document.visibilityState === 'visible' && load());
load();
