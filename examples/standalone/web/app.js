// The page: which of its two views is shown, the connection behind both, and the landing view.

import { ChatClient } from './chat-client.js';
import { $, bdi, el, icon, local, problem, session } from './dom.js';
import { errorText, language, locale, t, translate } from './i18n.js';
import { RoomView } from './room.js';

const ROOM_ID = /^[A-Za-z0-9_-]{1,64}$/;
const LOCK = 'M7 11V8a5 5 0 0 1 10 0v3M6 11h12v9H6z';

document.documentElement.lang = language;
translate(document);

// The token lives in localStorage, so that closing a tab or the browser does not make somebody a stranger, who could be
// refused as a double of the seat that is still kept for them, and so that two tabs are one person. Where that is
// forbidden, the tab's own storage at least survives a reload; where both are, it lives as long as the page.
const TOKEN = 'chat:token';
const storage = {
  get: () => local.get(TOKEN) ?? session.get(TOKEN),
  set: (token) => {
    if (!local.set(TOKEN, token) || token === undefined) session.set(TOKEN, token);
  },
};

const socket = new URL('/ws', location.href);
socket.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
const client = new ChatClient(socket.href, { locale, storage });

const roomView = new RoomView(client, () => go('/'));

// Views

let current = null;
let owned = null;

function go(path) {
  history.pushState(null, '', path);
  route({ leaving: true });
}

function route({ leaving = false } = {}) {
  const room = /^\/r\/([^/]+)\/?$/.exec(location.pathname)?.[1];
  const id = room === undefined ? null : decode(room);
  if (id === current && id !== null) return;
  roomView.shut({ leaving });
  current = id;
  $('landing').hidden = id !== null;
  $('room').hidden = id === null;
  if (id === null) {
    document.title = `${t('app')} · ${t('title')}`;
    scrollTo(0, 0);
    listRooms();
  } else {
    roomView.open(id, { own: owned === id });
  }
}

function decode(part) {
  try { return decodeURIComponent(part); } catch { return part; }
}

addEventListener('popstate', () => route({ leaving: true }));

// The connection

let bannerTimer;
let wasOpen = false;

function banner(text, action, run) {
  $('banner-text').textContent = text ?? '';
  $('banner').hidden = !text;
  $('banner-action').hidden = !action;
  $('banner-action').textContent = action ?? '';
  $('banner-action').onclick = run ?? null;
}

client.addEventListener('state', ({ detail: { state, code } }) => {
  clearTimeout(bannerTimer);
  if (state === 'open') {
    wasOpen = true;
    banner();
  } else if (state === 'closed') {
    const words = { 4500: 'closed_banned', 4502: 'closed_replaced' }[code] ?? 'closed';
    banner(t(words), t('reload'), () => location.reload());
  } else if ($('banner').hidden) {
    // A change of network that heals at once is not worth a word.
    bannerTimer = setTimeout(() => {
      banner(t(wasOpen ? 'reconnecting' : 'connecting'), t('reconnect_now'), () => client.retry());
    }, wasOpen ? 400 : 1500);
  }
});

// Landing: opening a room

$('create').addEventListener('submit', async (event) => {
  event.preventDefault();
  const form = event.currentTarget;
  const { title, capacity, password, ttl, listed } = form.elements;
  const note = form.querySelector('.problem');
  const button = form.querySelector('button');
  problem(note);
  if (!capacity.validity.valid) return problem(note, t('error.bad_command'), capacity);
  const ttlMs = Number(ttl.value);
  button.disabled = true;
  try {
    // Over the socket, because the one who creates a room there is let in without its password.
    const { room } = await client.create({
      title: title.value.trim() || undefined,
      capacity: capacity.value === '' ? undefined : Number(capacity.value),
      password: password.value || undefined,
      ttl_ms: ttlMs,
      listed: listed.checked || undefined,
    });
    owned = room.id;
    form.reset();
    go(`/r/${room.id}`);
  } catch (error) {
    problem(note, errorText(error), error.code === 'too_large' ? title : undefined);
  } finally {
    button.disabled = false;
  }
  return undefined;
});

// Landing: going to a room

function roomOf(text) {
  if (ROOM_ID.test(text)) return text;
  try {
    const url = new URL(text, location.href);
    const id = /^\/r\/([^/]+)\/?$/.exec(url.pathname)?.[1];
    return url.host === location.host && id && ROOM_ID.test(id) ? id : null;
  } catch {
    return null;
  }
}

$('find').addEventListener('submit', (event) => {
  event.preventDefault();
  const form = event.currentTarget;
  const { room } = form.elements;
  const id = roomOf(room.value.trim());
  if (!id) return problem(form.querySelector('.problem'), t('bad_link'), room);
  problem(form.querySelector('.problem'));
  form.reset();
  return go(`/r/${id}`);
});

// Landing: the rooms that want to be found

const MOST_ROOMS = 500;
let listing = 0;

function roomEntry({ id, title, capacity, count, has_password: locked }) {
  const seats = el('span', { class: 'seats quiet' });
  if (capacity) {
    seats.append(
      el('span', { 'aria-hidden': 'true' }, t('seats', { count, capacity })),
      el('span', { class: 'sr' }, t('seats_label', { count, capacity })));
  } else {
    seats.append(t('people', { count }));
  }
  return el('li', {}, el('a', {
    href: `/r/${id}`,
    onclick: (event) => {
      if (event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
      event.preventDefault();
      go(`/r/${id}`);
    },
  },
  bdi(title || t('untitled'), { class: title ? 'room-name' : 'room-name quiet' }),
  locked ? el('span', { class: 'lock', title: t('locked') }, icon(LOCK), el('span', { class: 'sr' }, t('locked'))) : undefined,
  seats));
}

async function listRooms(cursor) {
  const turn = ++listing;
  const list = $('rooms');
  const note = $('rooms-note');
  try {
    const query = new URLSearchParams({ limit: '20', ...(cursor && { cursor }) });
    const response = await fetch(`/api/rooms?${query}`);
    if (!response.ok) throw new Error(String(response.status));
    const page = await response.json();
    if (turn !== listing) return;
    if (!cursor) list.replaceChildren();
    list.append(...page.rooms.map(roomEntry));
    note.textContent = list.children.length ? '' : t('no_rooms');
    $('rooms-more').hidden = !page.cursor || list.children.length >= MOST_ROOMS;
    $('rooms-more').onclick = () => listRooms(page.cursor);
  } catch {
    if (turn === listing) note.textContent = t('rooms_failed');
  }
}

$('rooms-refresh').addEventListener('click', () => listRooms());

client.connect();
route();
