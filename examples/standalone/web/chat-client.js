// A client for the chat.v1 protocol, without dependencies and without the DOM, for browsers and any runtime with a
// WebSocket.
//
//   const chat = new ChatClient('wss://example.org/ws');
//   chat.addEventListener('message', ({ detail }) => console.log(detail.from.nickname, detail.text));
//   chat.connect();
//   await chat.join('lobby', { nickname: 'Mina', history: 50 });
//   await chat.send('lobby', 'Hello');
//
// The client reconnects, joins its rooms again from the last position, fills holes, drops events that it has already
// received, and sends unacknowledged messages again with the same key. Listeners therefore receive the events of each
// room in order and once each. A `gap` event stands for the events that cannot be recovered.
//
// Events (each with `detail`):
//   state     {state, previous, code?, reason?, delayMs?}   connecting | open | waiting | closed
//   welcome   the server's welcome           identity  {renewed: true}: the token was refused, so the identity is new
//   joined    the server's joined, with `rejoined`          removed  {room, reason, text?, until?, code?}
//   message   the server's event, with `key` if it is the client's own          notice   the server's event
//   sent      {room, key, seq, at}: a message of this client was accepted
//   gap       {room, epoch, from, to, newEpoch}: these events could not be recovered
//   presence  {room, version, count, members, complete, joined, left, renamed}: the list after a change
//   typing    {room, member, active}         closing   {reason, reconnect_after_ms}
//   error     {code, message}: an error that is not the reply to a command

const PROTOCOL = 'chat.v1';
const MAX_TIMER_MS = 2 ** 31 - 1;
const PAGE_SIZE = 100;
/** Close codes below 4000 after which a reconnect would only repeat the mistake. */
const FINAL_CLOSE_CODES = new Set([1000, 1002, 1003, 1007, 1008, 1009, 1010]);
const ERROR_CODES = new Set([
  'bad_json', 'bad_command', 'too_large', 'already_identified', 'bad_token', 'room_not_found', 'room_exists', 'bad_room',
  'room_full', 'room_expired', 'password_required', 'wrong_password', 'not_joined', 'already_joined', 'too_many_rooms',
  'bad_nickname', 'nickname_taken', 'empty_text', 'rate_limited', 'forbidden', 'banned', 'muted', 'unavailable', 'internal',
]);

const DEFAULTS = {
  nickname: undefined,
  locale: undefined,
  storage: undefined,        // {get(), set(token or undefined)}; either may return a promise
  WebSocket: undefined,      // the global one by default
  random: Math.random,
  backoffMs: 500,
  backoffMaxMs: 30_000,
  stableMs: 10_000,          // a connection that was open for this long resets the backoff
  connectMs: 15_000,         // from opening the connection to `welcome`
  answerMs: 10_000,          // from a ping to any message of the server
  commandMs: 60_000,         // from a command to its reply
  maxUnsent: 500,
  maxPending: 500,
  maxRooms: 100,
  maxHeld: 1000,             // events held back while a hole before them is filled
  maxFill: 1000,             // messages fetched to fill a single hole
  maxMembers: 1000,          // members listed for each room
  membersEveryMs: 1000,      // between two reloads of the list of a room
};

/** `code` is a code of the protocol, or `disconnected`, `closed`, `queue_full`, `outcome_unknown`. */
export class ChatError extends Error {
  constructor(code, message = code, retryAfterMs = undefined) {
    super(message);
    this.name = 'ChatError';
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }
}

export class ChatEvent extends Event {
  constructor(type, detail) {
    super(type);
    this.detail = detail;
  }
}

/** Makes a key for `send`. It does not use `randomUUID`, which pages served over plain HTTP do not have. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function deferred() {
  const result = {};
  result.promise = new Promise((resolve, reject) => Object.assign(result, { resolve, reject }));
  return result;
}

function shouldReconnect(code) {
  return code >= 4000 ? code < 4500 : !FINAL_CLOSE_CODES.has(code);
}

const encoder = new TextEncoder();

/** Replaces lone surrogates, which UTF-8 cannot represent: a strict server would refuse the whole frame. */
function encode(command) {
  return JSON.stringify(command, (_, value) =>
    typeof value === 'string' ? value.replace(/\p{Surrogate}/gu, '\ufffd') : value);
}

class Room {
  constructor(id, { password, nickname, history }) {
    this.id = id;
    this.password = password;
    this.nickname = nickname;
    this.history = history;
    this.joined = false; // on this connection
    this.joinPending = false; // a join on this connection has not been answered
    this.joining = deferred(); // until the first `joined`
    this.leaving = null;
    this.removed = false;
    this.refusals = 0;
    this.info = null;
    this.you = null;
    // The log: all events up to `seq` have been delivered.
    this.epoch = undefined;
    this.seq = 0;
    this.held = [];
    this.target = 0;
    this.filling = false;
    // The client's own messages, in the order of sending.
    this.queue = [];
    this.sending = false;
    this.paused = false;
    this.acked = new Map();
    this.renewed = false;
    // Presence at `version`.
    this.version = 0;
    this.count = 0;
    this.members = new Map();
    this.complete = true;
    this.stale = false;
    this.reload = null;
    this.reloadedAt = -Infinity;
  }
}

export class ChatClient extends EventTarget {
  #url;
  #options;
  #ws = null;
  #state = 'closed';
  #shouldConnect = false;
  #generation = 0;
  #attempt = 0;
  #openedAt = 0;
  #requestedDelayMs = 0;
  #notBefore = 0;
  #timers = new Map();
  #nextId = 1;
  #pending = new Map();
  #queuedCommands = [];
  #rooms = new Map();
  #unsent = 0;
  #token;
  #renewed = false;
  #welcome = null;
  #receivedAt = 0;
  #pingedAt = 0;
  #removeHintListeners = null;

  constructor(url, options = {}) {
    super();
    this.#url = url;
    this.#options = { ...DEFAULTS, ...options };
    this.#options.WebSocket ??= globalThis.WebSocket;
    if (!this.#options.WebSocket) throw new TypeError('there is no WebSocket: pass one as an option');
  }

  get state() { return this.#state; }

  /** The last `welcome`, or null. */
  get welcome() { return this.#welcome; }

  get limits() { return this.#welcome?.limits ?? {}; }

  /** The state of a room, or undefined if the client is not in it. */
  room(id) {
    const room = this.#rooms.get(id);
    return room && {
      id, joined: room.joined, info: room.info, you: room.you, epoch: room.epoch, seq: room.seq, version: room.version,
      count: room.count, members: [...room.members.values()], complete: room.complete,
    };
  }

  connect() {
    if (this.#shouldConnect) return;
    this.#shouldConnect = true;
    this.#attempt = 0;
    this.#addHintListeners();
    this.#openConnection();
  }

  /** Ends the connection for good. It does not leave the rooms, so the server holds the seats through their grace. */
  close() {
    if (!this.#shouldConnect) return;
    this.#shouldConnect = false;
    this.#connectionLost(1000, '');
  }

  /** Reconnects at once instead of after the delay, unless the server asked for that delay. */
  retry() {
    if (this.#state === 'waiting' && Date.now() >= this.#notBefore) {
      this.#cancelTimer('open');
      this.#openConnection();
    } else if (this.#state === 'open') {
      this.#pingServer();
    }
  }

  // Commands

  create(fields = {}) { return this.#request({ ...fields, type: 'create' }); }

  rooms({ cursor, limit } = {}) { return this.#request({ type: 'rooms', cursor, limit }); }

  history(room, { before, limit } = {}) { return this.#request({ type: 'history', room, before, limit }); }

  members(room, { cursor, limit } = {}) { return this.#request({ type: 'members', room, cursor, limit }); }

  ping() { return this.#request({ type: 'ping' }); }

  /** Joins a room and stays in it, over reconnects, until `leave` or `removed`. */
  join(id, { password, nickname, history = 0 } = {}) {
    if (this.#rooms.has(id)) return this.#reject('already_joined');
    if (!this.#shouldConnect) return this.#reject('closed');
    if (this.#rooms.size >= this.#options.maxRooms) return this.#reject('too_many_rooms');
    const room = new Room(id, { password, nickname, history });
    this.#rooms.set(id, room);
    if (this.#state === 'open') this.#sendJoin(room);
    return room.joining.promise;
  }

  /** Leaves once the messages sent before are acknowledged. Without a connection the room is simply forgotten. */
  leave(id) {
    const room = this.#rooms.get(id);
    if (!room) return this.#reject('not_joined');
    if (room.leaving) return room.leaving.promise;
    room.leaving = deferred();
    const { promise } = room.leaving;
    if (this.#state === 'open') this.#sendNext(room);
    else this.#removeRoom(room, 'not_joined');
    return promise;
  }

  /**
   * Resolves with {room, seq, at, key} when the server has accepted the message, which may be after reconnects. Each
   * room has one message under way at a time, so that a refusal with `rate_limited` cannot swap two messages.
   */
  send(id, text, { key = newKey(), replyTo, data } = {}) {
    const room = this.#rooms.get(id);
    if (!room || room.leaving) return this.#reject('not_joined');
    if (this.#unsent >= this.#options.maxUnsent) return this.#reject('queue_full');
    const entry = { ...deferred(), key, attempted: false, retries: 0, command: { type: 'send', room: id, text, key, reply_to: replyTo, data } };
    this.#unsent += 1;
    room.queue.push(entry);
    this.#sendNext(room);
    return entry.promise;
  }

  /** Changes the nickname in one room or, without `id`, in all rooms and for later ones. */
  async nickname(nickname, id) {
    const reply = await this.#request({ type: 'nickname', nickname, room: id });
    if (id === undefined) this.#options.nickname = reply.nickname;
    for (const room of this.#rooms.values()) {
      if (!room.you || (id !== undefined && room.id !== id)) continue;
      room.you = { ...room.you, nickname: reply.nickname };
      if (room.members.has(room.you.id)) room.members.set(room.you.id, room.you);
      this.#emitPresence(room, {});
    }
    return reply;
  }

  /** Sends a hint that has no reply. Without a connection it is dropped. */
  typing(room, active) {
    if (this.#state === 'open' && this.#rooms.get(room)?.joined) this.#write({ type: 'typing', room, active });
  }

  // The connection

  #reject(code) { return Promise.reject(new ChatError(code)); }

  #emit(type, detail) { this.dispatchEvent(new ChatEvent(type, detail)); }

  #setState(state, detail = {}) {
    const previous = this.#state;
    this.#state = state;
    if (state !== previous) this.#emit('state', { ...detail, state, previous });
  }

  #startTimer(name, ms, run) {
    this.#cancelTimer(name);
    const handle = setTimeout(() => {
      this.#timers.delete(name);
      run();
    }, Math.min(Math.max(ms, 0), MAX_TIMER_MS));
    this.#timers.set(name, handle);
  }

  #cancelTimer(name) {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }

  /** Going online or becoming visible is a reason to check the connection at once, but proves nothing about it. */
  #addHintListeners() {
    const check = () => {
      if (globalThis.document?.visibilityState !== 'hidden') this.retry();
    };
    globalThis.addEventListener?.('online', check);
    globalThis.document?.addEventListener?.('visibilitychange', check);
    this.#removeHintListeners = () => {
      globalThis.removeEventListener?.('online', check);
      globalThis.document?.removeEventListener?.('visibilitychange', check);
    };
  }

  async #openConnection() {
    const generation = ++this.#generation;
    this.#openedAt = 0;
    this.#setState('connecting');
    if (this.#token === undefined) {
      let token;
      try { token = await this.#options.storage?.get(); } catch { /* connect without a token */ }
      if (generation !== this.#generation || !this.#shouldConnect) return;
      this.#token = token || null;
    }
    let ws;
    try {
      ws = new this.#options.WebSocket(this.#url, [PROTOCOL]);
    } catch (error) {
      this.#shouldConnect = false;
      this.#connectionLost(1006, String(error));
      return;
    }
    this.#ws = ws;
    ws.onopen = () => ws === this.#ws && this.#sendHello();
    ws.onmessage = ({ data }) => ws === this.#ws && this.#onMessage(data);
    ws.onclose = ({ code, reason }) => ws === this.#ws && this.#connectionLost(code, reason);
    ws.onerror = () => {};
    this.#startTimer('open', this.#options.connectMs, () => this.#connectionLost(1006, 'no welcome'));
  }

  #sendHello() {
    const { nickname, locale } = this.#options;
    this.#sendCommand({ type: 'hello', token: this.#token ?? undefined, nickname, locale }, {
      done: () => {},
      fail: (error) => {
        if (error.code === 'already_identified') return;
        if (error.code === 'bad_token' && this.#token) {
          this.#storeToken(null);
          this.#renewed = true;
          this.#sendHello();
        } else if (error.code === 'bad_nickname' && nickname !== undefined) {
          this.#options.nickname = undefined;
          this.#emit('error', { code: error.code, message: error.message });
          this.#sendHello();
        } else {
          this.#requestedDelayMs = error.retryAfterMs ?? 0;
          this.#connectionLost(1006, error.code);
        }
      },
      lost: () => {},
    });
  }

  #storeToken(token) {
    this.#token = token;
    try {
      Promise.resolve(this.#options.storage?.set(token ?? undefined)).catch(() => {});
    } catch { /* this connection knows the token, but the next visit will not */ }
  }

  /** Handles the end of the connection. It does not wait for `onclose`, which may take minutes on a dead connection. */
  #connectionLost(code, reason) {
    const ws = this.#ws;
    this.#ws = null;
    this.#generation += 1;
    if (ws) {
      ws.onopen = ws.onmessage = ws.onclose = null;
      try { ws.close(); } catch { /* it is closed already */ }
    }
    for (const name of [...this.#timers.keys()]) this.#cancelTimer(name);
    this.#pingedAt = 0;
    for (const room of this.#rooms.values()) {
      room.joined = false;
      room.joinPending = false;
      room.sending = false;
      room.paused = false;
      room.held = [];
      room.target = 0;
      room.filling = false;
      room.reload = null;
    }
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const entry of pending) entry.lost();
    for (const room of [...this.#rooms.values()]) if (room.leaving) this.#removeRoom(room, 'not_joined');

    if (!this.#shouldConnect || !shouldReconnect(code)) {
      this.#finish(code, reason);
      return;
    }
    const { stableMs, backoffMs, backoffMaxMs, random } = this.#options;
    if (this.#openedAt && Date.now() - this.#openedAt >= stableMs) this.#attempt = 0;
    this.#openedAt = 0;
    // Full jitter: after an outage, the reconnects of all clients are spread evenly over the whole delay.
    const jitter = random() * Math.min(backoffMaxMs, backoffMs * 2 ** Math.min(this.#attempt, 20));
    const delayMs = this.#requestedDelayMs + jitter;
    this.#notBefore = Date.now() + this.#requestedDelayMs;
    this.#attempt += 1;
    this.#requestedDelayMs = 0;
    this.#startTimer('open', delayMs, () => this.#openConnection());
    this.#setState('waiting', { code, reason, delayMs });
  }

  #finish(code, reason) {
    this.#shouldConnect = false;
    this.#removeHintListeners?.();
    this.#removeHintListeners = null;
    for (const queued of this.#queuedCommands.splice(0)) queued.fail(new ChatError('closed'));
    for (const room of [...this.#rooms.values()]) this.#removeRoom(room, 'closed');
    this.#setState('closed', { code, reason });
  }

  /** Pings the server when it has been silent for longer than its own heartbeat. */
  #checkLiveness() {
    const now = Date.now();
    const heartbeat = Math.max(this.#welcome?.heartbeat_ms || 25_000, 10);
    const [oldest] = this.#pending.values();
    if (this.#pingedAt && now - this.#pingedAt >= this.#options.answerMs) return this.#connectionLost(1006, 'silent');
    if (oldest && now - oldest.at >= this.#options.commandMs) return this.#connectionLost(1006, 'no reply');
    if (!this.#pingedAt && now - this.#receivedAt >= heartbeat) this.#pingServer();
    const next = this.#pingedAt ? this.#pingedAt + this.#options.answerMs : this.#receivedAt + heartbeat;
    const reply = oldest ? oldest.at + this.#options.commandMs : Infinity;
    this.#startTimer('watch', Math.max(Math.min(next, reply) - now, 1), () => this.#checkLiveness());
  }

  #pingServer() {
    if (this.#pingedAt) return;
    this.#pingedAt = Date.now();
    this.#sendCommand({ type: 'ping' }, { done: () => {}, fail: () => {}, lost: () => {} });
    this.#startTimer('watch', this.#options.answerMs, () => this.#checkLiveness());
  }

  #write(command) {
    const text = encode(command);
    const max = this.#welcome?.limits?.frame_bytes;
    if (max && text.length * 3 > max && encoder.encode(text).length > max) return false;
    this.#ws.send(text);
    return true;
  }

  /** Calls exactly one of `done`, `fail` and `lost`, once and before the next event is handled. */
  #sendCommand(command, { done, fail, lost }) {
    if (!this.#ws) {
      lost();
      return;
    }
    const id = this.#nextId++;
    this.#pending.set(id, { at: Date.now(), done, fail, lost });
    let written = false;
    try { written = this.#write({ ...command, id }); } catch { return; /* the close that follows calls `lost` */ }
    if (!written) {
      this.#pending.delete(id);
      fail(new ChatError('too_large'));
    }
  }

  #request(command) {
    if (!this.#shouldConnect) return this.#reject('closed');
    if (this.#pending.size + this.#queuedCommands.length >= this.#options.maxPending) return this.#reject('queue_full');
    return new Promise((resolve, reject) => {
      const handlers = { done: resolve, fail: reject, lost: () => reject(new ChatError('disconnected')) };
      if (this.#state === 'open') this.#sendCommand(command, handlers);
      else this.#queuedCommands.push({ ...handlers, command });
    });
  }

  // Events of the server

  #onMessage(data) {
    this.#receivedAt = Date.now();
    this.#pingedAt = 0;
    if (typeof data !== 'string') return;
    let event;
    try { event = JSON.parse(data); } catch { return; }
    if (event === null || typeof event !== 'object') return;
    if (event.type === 'welcome') this.#onWelcome(event);
    const entry = this.#pending.get(event.id);
    if (entry) {
      this.#pending.delete(event.id);
      if (event.type === 'error') entry.fail(this.#toError(event));
      else entry.done(event);
      return;
    }
    const room = this.#rooms.get(event.room);
    switch (event.type) {
      case 'message':
      case 'notice':
        if (room?.epoch !== undefined) this.#onLogEvent(room, event);
        break;
      case 'gap':
        if (room?.epoch !== undefined) this.#onGap(room, event);
        break;
      case 'presence':
        if (room?.epoch !== undefined) this.#onPresence(room, event);
        break;
      case 'typing':
        if (room) this.#emit('typing', event);
        break;
      case 'removed':
        if (room) {
          this.#removeRoom(room, 'not_joined');
          const known = ['kicked', 'banned', 'expired', 'closed'];
          this.#emit('removed', { ...event, reason: known.includes(event.reason) ? event.reason : 'closed' });
        }
        break;
      case 'closing':
        this.#requestedDelayMs = Math.max(Number(event.reconnect_after_ms) || 0, 0);
        this.#emit('closing', event);
        break;
      case 'error':
        this.#emit('error', { ...event, code: this.#toError(event).code });
        break;
      default: // an event of a later version
    }
  }

  #toError({ code, message, retry_after_ms: retryAfterMs }) {
    return new ChatError(ERROR_CODES.has(code) ? code : 'internal', message, retryAfterMs);
  }

  #onWelcome(event) {
    this.#welcome = event;
    this.#cancelTimer('open');
    if (event.token && event.token !== this.#token) this.#storeToken(event.token);
    this.#openedAt = Date.now();
    if (this.#renewed) for (const room of this.#rooms.values()) room.renewed = true;
    this.#checkLiveness();
    const renewed = this.#renewed;
    this.#renewed = false;
    this.#setState('open');
    if (renewed) this.#emit('identity', { renewed });
    this.#emit('welcome', event);
    if (this.#state !== 'open') return; // a listener closed the connection
    for (const room of [...this.#rooms.values()]) if (!room.joined) this.#sendJoin(room);
    for (const { command, ...handlers } of this.#queuedCommands.splice(0)) {
      if (this.#state === 'open') this.#sendCommand(command, handlers);
      else handlers.lost();
    }
  }

  // Joining and leaving

  #sendJoin(room) {
    if (room.joinPending) return;
    room.joinPending = true;
    const rejoining = room.epoch !== undefined;
    this.#sendCommand({
      type: 'join',
      room: room.id,
      password: room.password,
      nickname: room.you?.nickname ?? room.nickname,
      since: rejoining ? { epoch: room.epoch, seq: room.seq } : undefined,
      history: rejoining || !room.history ? undefined : room.history,
      // A room that had a password must not be made again without one.
      create: rejoining && room.info?.has_password ? false : undefined,
    }, {
      done: (event) => this.#onJoined(room, event),
      fail: (error) => this.#onJoinRefused(room, error),
      lost: () => {}, // the next connection joins again
    });
  }

  #onJoinRefused(room, error) {
    if (room.removed) return;
    room.joinPending = false;
    if (room.epoch === undefined) {
      this.#removeRoom(room, error.code, error);
    } else if (['rate_limited', 'unavailable', 'internal'].includes(error.code)) {
      const { random, backoffMaxMs } = this.#options;
      const jitter = random() * Math.min(backoffMaxMs, 1000 * 2 ** Math.min(room.refusals++, 20));
      this.#startTimer(`join:${room.id}`, (error.retryAfterMs ?? 0) + jitter, () => this.#sendJoin(room));
    } else {
      this.#removeRoom(room, error.code);
      this.#emit('removed', { room: room.id, reason: 'refused', code: error.code, text: undefined });
    }
  }

  #onJoined(room, event) {
    if (room.removed) return;
    room.joinPending = false;
    const first = room.epoch === undefined;
    const newLog = !first && !event.recovered && (event.epoch !== room.epoch || event.seq < room.seq);
    room.joined = true;
    room.refusals = 0;
    room.info = event.room;
    room.you = event.you;
    room.epoch = event.epoch;
    if (first) room.seq = event.seq;
    else if (newLog) {
      room.seq = 0;
      room.acked.clear();
    }
    if (room.renewed) {
      // Keys belong to the member: with the new identity, a resend could repeat a message that is already in the log.
      room.renewed = false;
      if (!newLog) this.#rejectQueued(room, (entry) => entry.attempted, 'outcome_unknown');
    }
    this.#replaceMembers(room, event.presence);
    this.#emit('joined', { ...event, rejoined: !first });
    this.#emitPresence(room, {});
    if (first) room.joining.resolve(event);
    else if (!event.recovered) {
      if (newLog) this.#emit('gap', { room: room.id, epoch: room.epoch, newEpoch: true });
      room.held = event.messages.filter(({ seq }) => seq > room.seq);
      room.target = event.seq;
      this.#fill(room);
    }
    this.#sendNext(room);
  }

  #removeRoom(room, code, error = new ChatError(code)) {
    if (room.removed) return;
    room.removed = true;
    this.#rooms.delete(room.id);
    for (const name of ['join', 'send', 'members']) this.#cancelTimer(`${name}:${room.id}`);
    const inFlight = room.sending ? room.queue[0] : null;
    this.#rejectQueued(room, (entry) => entry !== inFlight, code);
    if (room.epoch === undefined && !room.leaving) room.joining.reject(error);
    else if (room.epoch === undefined) room.joining.reject(new ChatError('not_joined'));
    room.leaving?.resolve();
  }

  // Sending

  #rejectQueued(room, matches, code) {
    const dropped = room.queue.filter(matches);
    room.queue = room.queue.filter((entry) => !dropped.includes(entry));
    this.#unsent -= dropped.length;
    for (const entry of dropped) entry.reject(new ChatError(code));
  }

  #sendNext(room) {
    if (!room.joined || room.sending || room.paused || room.removed) return;
    const [entry] = room.queue;
    if (!entry) {
      if (room.leaving) this.#sendLeave(room);
      return;
    }
    room.sending = true;
    entry.attempted = true;
    const settle = () => {
      room.sending = false;
      room.queue.shift();
      this.#unsent -= 1;
    };
    this.#sendCommand(entry.command, {
      done: ({ seq, at }) => {
        settle();
        if (seq > room.seq) {
          room.acked.set(seq, entry.key);
          if (room.acked.size > this.#options.maxUnsent) room.acked.delete(room.acked.keys().next().value);
        }
        const sent = { room: room.id, key: entry.key, seq, at };
        this.#emit('sent', sent);
        entry.resolve(sent);
        this.#sendNext(room);
      },
      fail: (error) => {
        const retry = !room.removed && (error.code === 'rate_limited' || (error.code === 'unavailable' && entry.retries < 5));
        if (retry) {
          room.sending = false;
          room.paused = true;
          const delay = error.retryAfterMs ?? 1000 * 2 ** Math.min(entry.retries, 5);
          entry.retries += 1;
          this.#startTimer(`send:${room.id}`, delay, () => {
            room.paused = false;
            this.#sendNext(room);
          });
          return;
        }
        settle();
        entry.reject(error);
        this.#sendNext(room);
      },
      lost: () => {
        if (room.removed) {
          settle();
          entry.reject(new ChatError('outcome_unknown'));
        }
      },
    });
  }

  #sendLeave(room) {
    const leaving = room.leaving;
    room.joined = false;
    const end = () => this.#removeRoom(room, 'not_joined');
    this.#sendCommand({ type: 'leave', room: room.id }, { done: end, fail: end, lost: end });
    return leaving.promise;
  }

  // The log

  #onLogEvent(room, event) {
    if (event.seq <= room.seq) return;
    if (room.filling || event.seq > room.seq + 1) {
      const last = room.held.at(-1);
      if (!last || event.seq > last.seq) room.held.push(event);
      // Dropping an event here only makes the hole longer.
      if (room.held.length > this.#options.maxHeld) room.held.shift();
      this.#fill(room);
      return;
    }
    this.#deliver(room, event);
  }

  #deliver(room, event) {
    room.seq = event.seq;
    const key = room.acked.get(event.seq);
    room.acked.delete(event.seq);
    this.#emit(event.type, key === undefined ? event : { ...event, key });
  }

  #onGap(room, { epoch, to }) {
    if (epoch !== room.epoch) {
      room.epoch = epoch;
      room.seq = 0;
      room.acked.clear();
      this.#emit('gap', { room: room.id, epoch, newEpoch: true });
    }
    room.target = Math.max(room.target, to);
    this.#fill(room);
  }

  /** Fetches the missing events from `history`, then delivers the events held back after them. */
  async #fill(room) {
    if (room.filling) return;
    room.filling = true;
    const generation = this.#generation;
    for (;;) {
      while (room.held.length && room.held[0].seq <= room.seq + 1) {
        const event = room.held.shift();
        if (event.seq > room.seq) this.#deliver(room, event);
      }
      const to = room.held.length ? room.held[0].seq - 1 : room.target;
      if (to <= room.seq) break;
      const { epoch } = room;
      const found = await this.#fetchMissing(room, room.seq + 1, to);
      if (generation !== this.#generation || room.removed) return;
      if (epoch !== room.epoch) continue;
      for (const event of found) {
        if (event.seq <= room.seq) continue;
        if (event.seq > room.seq + 1) this.#emitGap(room, event.seq - 1);
        this.#deliver(room, event);
      }
      if (room.seq < to) this.#emitGap(room, to);
    }
    room.filling = false;
  }

  #emitGap(room, to) {
    const from = room.seq + 1;
    room.seq = to;
    this.#emit('gap', { room: room.id, epoch: room.epoch, from, to, newEpoch: false });
  }

  async #fetchMissing(room, from, to) {
    let found = [];
    let before = to + 1;
    let refusals = 0;
    while (found.length < this.#options.maxFill && before > from) {
      let page;
      try {
        page = await this.history(room.id, { before, limit: Math.min(PAGE_SIZE, before - from) });
      } catch (error) {
        if (!['rate_limited', 'unavailable'].includes(error.code) || ++refusals > 3) break;
        await new Promise((resolve) => setTimeout(resolve, Math.min(error.retryAfterMs ?? 1000, MAX_TIMER_MS)));
        continue;
      }
      if (page.messages.length === 0) break;
      found = [...page.messages.filter(({ seq }) => seq >= from && seq < before), ...found];
      before = page.messages[0].seq;
      if (!page.more) break;
    }
    return found;
  }

  // Presence: changes with a version are applied to a list. The list includes every change up to its own version.

  #emitPresence(room, { joined = [], left = [], renamed = [] }) {
    this.#emit('presence', {
      room: room.id, version: room.version, count: room.count, members: [...room.members.values()],
      complete: room.complete, joined, left, renamed,
    });
  }

  #replaceMembers(room, { version, count, members }) {
    room.version = version;
    room.count = count;
    room.members = new Map(members.map((member) => [member.id, member]));
    room.complete = members.length >= count;
    room.stale = false;
    room.reload = null;
    if (!room.complete && room.members.size < this.#options.maxMembers) this.#reloadMembers(room);
  }

  #applyPresence(room, members, { joined = [], left = [], renamed = [] }) {
    for (const { id } of left) members.delete(id);
    for (const member of [...joined, ...renamed]) {
      if (members.has(member.id) || members.size < this.#options.maxMembers) members.set(member.id, member);
      if (member.id === room.you?.id) room.you = member;
    }
  }

  #onPresence(room, event) {
    if (event.version <= room.version) return;
    const hole = event.version > room.version + 1;
    const lists = Boolean(event.joined || event.left || event.renamed);
    room.version = event.version;
    room.count = event.count;
    if (lists) this.#applyPresence(room, room.members, event);
    if (room.reload) {
      if (lists && !hole && room.reload.events.length < 1000) room.reload.events.push(event);
      else room.reload.broken = true;
    }
    if (hole || !lists) room.stale = true;
    if (room.stale) room.complete = false;
    // Counts alone mean a room too large for lists. Requesting the list then would cost what the server saves.
    if (room.stale && lists) this.#reloadMembers(room);
    this.#emitPresence(room, event);
  }

  async #reloadMembers(room) {
    if (room.reload || this.#timers.has(`members:${room.id}`)) return;
    const wait = room.reloadedAt + this.#options.membersEveryMs - Date.now();
    if (wait > 0) {
      this.#startTimer(`members:${room.id}`, wait, () => this.#reloadMembers(room));
      return;
    }
    const reload = { events: [], broken: false };
    room.reload = reload;
    room.reloadedAt = Date.now();
    const found = new Map();
    let version;
    let cursor;
    let count = 0;
    try {
      do {
        const page = await this.members(room.id, { cursor, limit: PAGE_SIZE });
        if (room.removed || room.reload !== reload) return;
        if (version === undefined) {
          ({ version } = page);
          if (version < room.version && reload.events[0]?.version !== version + 1) reload.broken = true;
          if (version > room.version) {
            // The list is newer than the changes and includes those up to its version.
            room.version = version;
            room.count = page.count;
          }
        }
        ({ count, cursor } = page);
        for (const member of page.members) found.set(member.id, member);
      } while (cursor !== undefined && found.size < this.#options.maxMembers);
    } catch {
      if (room.reload === reload) room.reload = null;
      return;
    }
    room.reload = null;
    // Later pages may have later versions. Applying every change after the first page, in order, gives the same list.
    for (const event of reload.events) if (event.version > version) this.#applyPresence(room, found, event);
    room.members = found;
    room.stale = reload.broken;
    room.complete = !room.stale && cursor === undefined && found.size >= Math.min(room.count, count);
    const you = found.get(room.you.id);
    if (you) room.you = you;
    this.#emitPresence(room, {});
  }
}
