// The page: the choice between its two views, the connection that both use, and the landing view.

import { ChatClient } from './chat-client.js';
import { $, bdi, el, icon, local, session, showProblem } from './dom.js';
import { errorText, language, locale, t, translate } from './i18n.js';
import { RoomView } from './room.js';

const ROOM_ID = /^[A-Za-z0-9_-]{1,64}$/;
const LOCK = 'M7 11V8a5 5 0 0 1 10 0v3M6 11h12v9H6z';

document.documentElement.lang = language;
translate(document);

// The token is kept in localStorage. So a user keeps their identity when they close the tab or the browser; with a new one
// they could be refused because the seat that is still held has the same nickname. And two tabs are one user. Where
// localStorage is forbidden, the storage of the tab at least survives a reload. Where both are, the token lives as long as
// the page.
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
let createdRoom = null;

function go(path) {
  history.pushState(null, '', path);
  route({ leaving: true });
}

function route({ leaving = false } = {}) {
  const room = /^\/r\/([^/]+)\/?$/.exec(location.pathname)?.[1];
  const id = room === undefined ? null : decode(room);
  if (id === current && id !== null) return;
  roomView.close({ leaving });
  current = id;
  $('landing').hidden = id !== null;
  $('room').hidden = id === null;
  if (id === null) {
    document.title = `${t('app')} · ${t('title')}`;
    scrollTo(0, 0);
    listRooms();
  } else {
    roomView.open(id, { isCreator: createdRoom === id });
  }
}

function decode(part) {
  try { return decodeURIComponent(part); } catch { return part; }
}

addEventListener('popstate', () => route({ leaving: true }));

// The connection

let bannerTimer;
let wasOpen = false;

function showBanner(text, action, run) {
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
    showBanner();
  } else if (state === 'closed') {
    const message = { 4500: 'closed_banned', 4502: 'closed_replaced' }[code] ?? 'closed';
    showBanner(t(message), t('reload'), () => location.reload());
  } else if ($('banner').hidden) {
    // A change of network that is over at once is not worth a banner.
    bannerTimer = setTimeout(() => {
      showBanner(t(wasOpen ? 'reconnecting' : 'connecting'), t('reconnect_now'), () => client.retry());
    }, wasOpen ? 400 : 1500);
  }
});

// Landing: creating a room

$('create').addEventListener('submit', async (event) => {
  event.preventDefault();
  const form = event.currentTarget;
  const { title, capacity, password, ttl, listed } = form.elements;
  const note = form.querySelector('.problem');
  const button = form.querySelector('button');
  showProblem(note);
  if (!capacity.validity.valid) return showProblem(note, t('error.bad_command'), capacity);
  const ttlMs = Number(ttl.value);
  button.disabled = true;
  try {
    // Over the socket, because there the creator may join without the password.
    const { room } = await client.create({
      title: title.value.trim() || undefined,
      capacity: capacity.value === '' ? undefined : Number(capacity.value),
      password: password.value || undefined,
      ttl_ms: ttlMs,
      listed: listed.checked || undefined,
    });
    createdRoom = room.id;
    form.reset();
    go(`/r/${room.id}`);
  } catch (error) {
    showProblem(note, errorText(error), error.code === 'too_large' ? title : undefined);
  } finally {
    button.disabled = false;
  }
  return undefined;
});

// Landing: joining a room

function roomIdOf(text) {
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
  const id = roomIdOf(room.value.trim());
  if (!id) return showProblem(form.querySelector('.problem'), t('bad_link'), room);
  showProblem(form.querySelector('.problem'));
  form.reset();
  return go(`/r/${id}`);
});

// Landing: the listed rooms

const MAX_ROOMS = 500;
let lastListing = 0;

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
  const listing = ++lastListing;
  const list = $('rooms');
  const note = $('rooms-note');
  try {
    const query = new URLSearchParams({ limit: '20', ...(cursor && { cursor }) });
    const response = await fetch(`/api/rooms?${query}`);
    if (!response.ok) throw new Error(String(response.status));
    const page = await response.json();
    if (listing !== lastListing) return;
    if (!cursor) list.replaceChildren();
    list.append(...page.rooms.map(roomEntry));
    note.textContent = list.children.length ? '' : t('no_rooms');
    $('rooms-more').hidden = !page.cursor || list.children.length >= MAX_ROOMS;
    $('rooms-more').onclick = () => listRooms(page.cursor);
  } catch {
    if (listing === lastListing) note.textContent = t('rooms_failed');
  }
}

$('rooms-refresh').addEventListener('click', () => listRooms());

client.connect();
route();
