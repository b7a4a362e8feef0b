// A client for the chat.v1 protocol: no dependency, no DOM, for browsers and for any runtime with a WebSocket.
//
//   const chat = new ChatClient('wss://example.org/ws');
//   chat.addEventListener('message', ({ detail }) => console.log(detail.from.nickname, detail.text));
//   chat.connect();
//   await chat.join('lobby', { nickname: 'Mina', history: 50 });
//   await chat.send('lobby', 'Hello');
//
// What it takes care of: it reconnects, comes back into its rooms where it left off, fills holes, drops what it has
// already seen, and sends what was not acknowledged again under the old key. So each room is delivered to the
// listeners in order, once each; where something is truly lost, a `gap` event stands in its place.
//
// Events (each with `detail`):
//   state     {state, previous, code?, reason?, delayMs?}   connecting | open | waiting | closed
//   welcome   the server's welcome           identity  {renewed: true}: the token was refused, this is somebody new
//   joined    the server's joined, with `rejoined`          removed  {room, reason, text?, until?, code?}
//   message   the server's event, with `key` where it is an own one          notice   the server's event
//   sent      {room, key, seq, at}: an own message was accepted
//   gap       {room, epoch, from, to, newEpoch}: these could not be recovered
//   presence  {room, version, count, members, complete, joined, left, renamed}: after folding
//   typing    {room, member, active}         closing   {reason, reconnect_after_ms}
//   error     {code, message}: an error that answers no command

const PROTOCOL = 'chat.v1';
const LONGEST_TIMER = 2 ** 31 - 1;
const PAGE = 100;
/** Close codes below 4000 after which coming back would only repeat the mistake. */
const FINAL = new Set([1000, 1002, 1003, 1007, 1008, 1009, 1010]);
const CODES = new Set([
  'bad_json', 'bad_command', 'too_large', 'already_identified', 'bad_token', 'room_not_found', 'room_exists', 'bad_room',
  'room_full', 'room_expired', 'password_required', 'wrong_password', 'not_joined', 'already_joined', 'too_many_rooms',
  'bad_nickname', 'nickname_taken', 'empty_text', 'rate_limited', 'forbidden', 'banned', 'muted', 'unavailable', 'internal',
]);

const DEFAULTS = {
  nickname: undefined,
  locale: undefined,
  storage: undefined,        // {get(), set(token or undefined)}, either may return a promise
  WebSocket: undefined,      // the global one
  random: Math.random,
  backoffMs: 500,
  backoffMaxMs: 30_000,
  stableMs: 10_000,          // a connection that lived this long starts the backoff anew
  connectMs: 15_000,         // from the first byte to `welcome`
  answerMs: 10_000,          // from a ping to any sign of life
  commandMs: 60_000,         // from a command to its reply
  maxUnsent: 500,
  maxPending: 500,
  maxRooms: 100,
  maxHeld: 1000,             // events kept back while a hole before them is filled
  maxFill: 1000,             // messages fetched to fill one hole
  maxMembers: 1000,          // members listed per room
  membersEveryMs: 1000,      // between two reloads of a room's list
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

/** A key for `send`. Not `randomUUID`, which pages served over plain HTTP do not have. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function deferred() {
  const it = {};
  it.promise = new Promise((resolve, reject) => Object.assign(it, { resolve, reject }));
  return it;
}

function comesBack(code) {
  return code >= 4000 ? code < 4500 : !FINAL.has(code);
}

const encoder = new TextEncoder();

/** A lone surrogate cannot be said in UTF-8: a strict server would refuse the whole frame. */
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
    this.asked = false; // a join is under way on it
    this.joining = deferred(); // until the first admission
    this.leaving = null;
    this.gone = false;
    this.refusals = 0;
    this.info = null;
    this.you = null;
    // The log: everything up to `seq` has been delivered.
    this.epoch = undefined;
    this.seq = 0;
    this.held = [];
    this.target = 0;
    this.filling = false;
    // Our own messages, in the order of sending.
    this.queue = [];
    this.busy = false;
    this.paused = false;
    this.acked = new Map();
    this.renewed = false;
    // Presence, as of `version`.
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
  #wanted = false;
  #life = 0;
  #attempt = 0;
  #openedAt = 0;
  #after = 0;
  #notBefore = 0;
  #timers = new Map();
  #nextId = 1;
  #pending = new Map();
  #early = [];
  #rooms = new Map();
  #unsent = 0;
  #token;
  #renewed = false;
  #welcome = null;
  #heard = 0;
  #probed = 0;
  #unhint = null;

  constructor(url, options = {}) {
    super();
    this.#url = url;
    this.#options = { ...DEFAULTS, ...options };
    this.#options.WebSocket ??= globalThis.WebSocket;
    if (!this.#options.WebSocket) throw new TypeError('no WebSocket: give one as an option');
  }

  get state() { return this.#state; }

  /** The last `welcome`, or null. */
  get welcome() { return this.#welcome; }

  get limits() { return this.#welcome?.limits ?? {}; }

  /** What is known of a room, or undefined. */
  room(id) {
    const room = this.#rooms.get(id);
    return room && {
      id, joined: room.joined, info: room.info, you: room.you, epoch: room.epoch, seq: room.seq, version: room.version,
      count: room.count, members: [...room.members.values()], complete: room.complete,
    };
  }

  connect() {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#attempt = 0;
    this.#hint();
    this.#open();
  }

  /** Ends the connection for good; rooms are not left, so a member's seat lives through the grace. */
  close() {
    if (!this.#wanted) return;
    this.#wanted = false;
    this.#lost(1000, '');
  }

  /** Tries at once instead of at the end of the pause, unless the server asked for that pause. */
  retry() {
    if (this.#state === 'waiting' && Date.now() >= this.#notBefore) {
      this.#cancel('open');
      this.#open();
    } else if (this.#state === 'open') {
      this.#probe();
    }
  }

  // Commands

  create(fields = {}) { return this.#ask({ ...fields, type: 'create' }); }

  rooms({ cursor, limit } = {}) { return this.#ask({ type: 'rooms', cursor, limit }); }

  history(room, { before, limit } = {}) { return this.#ask({ type: 'history', room, before, limit }); }

  members(room, { cursor, limit } = {}) { return this.#ask({ type: 'members', room, cursor, limit }); }

  ping() { return this.#ask({ type: 'ping' }); }

  /** Enters a room and stays in it, over reconnects, until `leave` or `removed`. */
  join(id, { password, nickname, history = 0 } = {}) {
    if (this.#rooms.has(id)) return this.#reject('already_joined');
    if (!this.#wanted) return this.#reject('closed');
    if (this.#rooms.size >= this.#options.maxRooms) return this.#reject('too_many_rooms');
    const room = new Room(id, { password, nickname, history });
    this.#rooms.set(id, room);
    if (this.#state === 'open') this.#join(room);
    return room.joining.promise;
  }

  /** Leaves once the messages given before are on their way. Without a connection the room is just forgotten. */
  leave(id) {
    const room = this.#rooms.get(id);
    if (!room) return this.#reject('not_joined');
    if (room.leaving) return room.leaving.promise;
    room.leaving = deferred();
    const { promise } = room.leaving;
    if (this.#state === 'open') this.#pump(room);
    else this.#forget(room, 'not_joined');
    return promise;
  }

  /**
   * Resolves with {room, seq, at, key} when the server has taken the message; that may be after reconnects. One message
   * of a room is under way at a time: so a refusal for being too fast cannot turn the order of two around.
   */
  send(id, text, { key = newKey(), replyTo, data } = {}) {
    const room = this.#rooms.get(id);
    if (!room || room.leaving) return this.#reject('not_joined');
    if (this.#unsent >= this.#options.maxUnsent) return this.#reject('queue_full');
    const entry = { ...deferred(), key, tried: false, tries: 0, command: { type: 'send', room: id, text, key, reply_to: replyTo, data } };
    this.#unsent += 1;
    room.queue.push(entry);
    this.#pump(room);
    return entry.promise;
  }

  /** Without a room: in all of them, and for later ones. */
  async nickname(nickname, id) {
    const reply = await this.#ask({ type: 'nickname', nickname, room: id });
    if (id === undefined) this.#options.nickname = reply.nickname;
    for (const room of this.#rooms.values()) {
      if (!room.you || (id !== undefined && room.id !== id)) continue;
      room.you = { ...room.you, nickname: reply.nickname };
      if (room.members.has(room.you.id)) room.members.set(room.you.id, room.you);
      this.#presence(room, {});
    }
    return reply;
  }

  /** A hint that needs no answer: without a connection it is dropped. */
  typing(room, active) {
    if (this.#state === 'open' && this.#rooms.get(room)?.joined) this.#write({ type: 'typing', room, active });
  }

  // The connection

  #reject(code) { return Promise.reject(new ChatError(code)); }

  #emit(type, detail) { this.dispatchEvent(new ChatEvent(type, detail)); }

  #set(state, detail = {}) {
    const previous = this.#state;
    this.#state = state;
    if (state !== previous) this.#emit('state', { ...detail, state, previous });
  }

  #timer(name, ms, run) {
    this.#cancel(name);
    const handle = setTimeout(() => {
      this.#timers.delete(name);
      run();
    }, Math.min(Math.max(ms, 0), LONGEST_TIMER));
    this.#timers.set(name, handle);
  }

  #cancel(name) {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }

  /** Being online or visible again is a reason to look at once, and never a proof of anything. */
  #hint() {
    const look = () => {
      if (globalThis.document?.visibilityState !== 'hidden') this.retry();
    };
    globalThis.addEventListener?.('online', look);
    globalThis.document?.addEventListener?.('visibilitychange', look);
    this.#unhint = () => {
      globalThis.removeEventListener?.('online', look);
      globalThis.document?.removeEventListener?.('visibilitychange', look);
    };
  }

  async #open() {
    const life = ++this.#life;
    this.#openedAt = 0;
    this.#set('connecting');
    if (this.#token === undefined) {
      let token;
      try { token = await this.#options.storage?.get(); } catch { /* then without */ }
      if (life !== this.#life || !this.#wanted) return;
      this.#token = token || null;
    }
    let ws;
    try {
      ws = new this.#options.WebSocket(this.#url, [PROTOCOL]);
    } catch (error) {
      this.#wanted = false;
      this.#lost(1006, String(error));
      return;
    }
    this.#ws = ws;
    ws.onopen = () => ws === this.#ws && this.#hello();
    ws.onmessage = ({ data }) => ws === this.#ws && this.#receive(data);
    ws.onclose = ({ code, reason }) => ws === this.#ws && this.#lost(code, reason);
    ws.onerror = () => {};
    this.#timer('open', this.#options.connectMs, () => this.#lost(1006, 'no welcome'));
  }

  #hello() {
    const { nickname, locale } = this.#options;
    this.#command({ type: 'hello', token: this.#token ?? undefined, nickname, locale }, {
      done: () => {},
      fail: (error) => {
        if (error.code === 'already_identified') return;
        if (error.code === 'bad_token' && this.#token) {
          this.#keep(null);
          this.#renewed = true;
          this.#hello();
        } else if (error.code === 'bad_nickname' && nickname !== undefined) {
          this.#options.nickname = undefined;
          this.#emit('error', { code: error.code, message: error.message });
          this.#hello();
        } else {
          this.#after = error.retryAfterMs ?? 0;
          this.#lost(1006, error.code);
        }
      },
      lost: () => {},
    });
  }

  #keep(token) {
    this.#token = token;
    try {
      Promise.resolve(this.#options.storage?.set(token ?? undefined)).catch(() => {});
    } catch { /* the connection has it, the next visit will not */ }
  }

  /** This connection is over, whoever says so. A dead one may take minutes to admit it, so it is not waited for. */
  #lost(code, reason) {
    const ws = this.#ws;
    this.#ws = null;
    this.#life += 1;
    if (ws) {
      ws.onopen = ws.onmessage = ws.onclose = null;
      try { ws.close(); } catch { /* it is gone already */ }
    }
    for (const name of [...this.#timers.keys()]) this.#cancel(name);
    this.#probed = 0;
    for (const room of this.#rooms.values()) {
      room.joined = false;
      room.asked = false;
      room.busy = false;
      room.paused = false;
      room.held = [];
      room.target = 0;
      room.filling = false;
      room.reload = null;
    }
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const entry of pending) entry.lost();
    for (const room of [...this.#rooms.values()]) if (room.leaving) this.#forget(room, 'not_joined');

    if (!this.#wanted || !comesBack(code)) {
      this.#end(code, reason);
      return;
    }
    const { stableMs, backoffMs, backoffMaxMs, random } = this.#options;
    if (this.#openedAt && Date.now() - this.#openedAt >= stableMs) this.#attempt = 0;
    this.#openedAt = 0;
    // Full jitter: after an outage, everybody's return is spread evenly over the whole pause.
    const pause = random() * Math.min(backoffMaxMs, backoffMs * 2 ** Math.min(this.#attempt, 20));
    const delayMs = this.#after + pause;
    this.#notBefore = Date.now() + this.#after;
    this.#attempt += 1;
    this.#after = 0;
    this.#timer('open', delayMs, () => this.#open());
    this.#set('waiting', { code, reason, delayMs });
  }

  #end(code, reason) {
    this.#wanted = false;
    this.#unhint?.();
    this.#unhint = null;
    for (const early of this.#early.splice(0)) early.fail(new ChatError('closed'));
    for (const room of [...this.#rooms.values()]) this.#forget(room, 'closed');
    this.#set('closed', { code, reason });
  }

  /** Asks for a sign of life when it has been silent for longer than the server's own heartbeat. */
  #watch() {
    const now = Date.now();
    const heartbeat = Math.max(this.#welcome?.heartbeat_ms || 25_000, 10);
    const [oldest] = this.#pending.values();
    if (this.#probed && now - this.#probed >= this.#options.answerMs) return this.#lost(1006, 'silent');
    if (oldest && now - oldest.at >= this.#options.commandMs) return this.#lost(1006, 'no reply');
    if (!this.#probed && now - this.#heard >= heartbeat) this.#probe();
    const next = this.#probed ? this.#probed + this.#options.answerMs : this.#heard + heartbeat;
    const reply = oldest ? oldest.at + this.#options.commandMs : Infinity;
    this.#timer('watch', Math.max(Math.min(next, reply) - now, 1), () => this.#watch());
  }

  #probe() {
    if (this.#probed) return;
    this.#probed = Date.now();
    this.#command({ type: 'ping' }, { done: () => {}, fail: () => {}, lost: () => {} });
    this.#timer('watch', this.#options.answerMs, () => this.#watch());
  }

  #write(command) {
    const text = encode(command);
    const most = this.#welcome?.limits?.frame_bytes;
    if (most && text.length * 3 > most && encoder.encode(text).length > most) return false;
    this.#ws.send(text);
    return true;
  }

  /** `done`, `fail` and `lost` are called at once, before the next event is looked at: one of the three, exactly once. */
  #command(command, { done, fail, lost }) {
    if (!this.#ws) {
      lost();
      return;
    }
    const id = this.#nextId++;
    this.#pending.set(id, { at: Date.now(), done, fail, lost });
    let written = false;
    try { written = this.#write({ ...command, id }); } catch { return; /* the close that follows tells */ }
    if (!written) {
      this.#pending.delete(id);
      fail(new ChatError('too_large'));
    }
  }

  #ask(command) {
    if (!this.#wanted) return this.#reject('closed');
    if (this.#pending.size + this.#early.length >= this.#options.maxPending) return this.#reject('queue_full');
    return new Promise((resolve, reject) => {
      const handlers = { done: resolve, fail: reject, lost: () => reject(new ChatError('disconnected')) };
      if (this.#state === 'open') this.#command(command, handlers);
      else this.#early.push({ ...handlers, command });
    });
  }

  // What the server says

  #receive(data) {
    this.#heard = Date.now();
    this.#probed = 0;
    if (typeof data !== 'string') return;
    let event;
    try { event = JSON.parse(data); } catch { return; }
    if (event === null || typeof event !== 'object') return;
    if (event.type === 'welcome') this.#welcomed(event);
    const entry = this.#pending.get(event.id);
    if (entry) {
      this.#pending.delete(event.id);
      if (event.type === 'error') entry.fail(this.#error(event));
      else entry.done(event);
      return;
    }
    const room = this.#rooms.get(event.room);
    switch (event.type) {
      case 'message':
      case 'notice':
        if (room?.epoch !== undefined) this.#logged(room, event);
        break;
      case 'gap':
        if (room?.epoch !== undefined) this.#skipped(room, event);
        break;
      case 'presence':
        if (room?.epoch !== undefined) this.#changed(room, event);
        break;
      case 'typing':
        if (room) this.#emit('typing', event);
        break;
      case 'removed':
        if (room) {
          this.#forget(room, 'not_joined');
          const known = ['kicked', 'banned', 'expired', 'closed'];
          this.#emit('removed', { ...event, reason: known.includes(event.reason) ? event.reason : 'closed' });
        }
        break;
      case 'closing':
        this.#after = Math.max(Number(event.reconnect_after_ms) || 0, 0);
        this.#emit('closing', event);
        break;
      case 'error':
        this.#emit('error', { ...event, code: this.#error(event).code });
        break;
      default: // something of a later version
    }
  }

  #error({ code, message, retry_after_ms: retryAfterMs }) {
    return new ChatError(CODES.has(code) ? code : 'internal', message, retryAfterMs);
  }

  #welcomed(event) {
    this.#welcome = event;
    this.#cancel('open');
    if (event.token && event.token !== this.#token) this.#keep(event.token);
    this.#openedAt = Date.now();
    if (this.#renewed) for (const room of this.#rooms.values()) room.renewed = true;
    this.#watch();
    const renewed = this.#renewed;
    this.#renewed = false;
    this.#set('open');
    if (renewed) this.#emit('identity', { renewed });
    this.#emit('welcome', event);
    if (this.#state !== 'open') return; // a listener closed it
    for (const room of [...this.#rooms.values()]) if (!room.joined) this.#join(room);
    for (const { command, ...handlers } of this.#early.splice(0)) {
      if (this.#state === 'open') this.#command(command, handlers);
      else handlers.lost();
    }
  }

  // Entering and leaving

  #join(room) {
    if (room.asked) return;
    room.asked = true;
    const back = room.epoch !== undefined;
    this.#command({
      type: 'join',
      room: room.id,
      password: room.password,
      nickname: room.you?.nickname ?? room.nickname,
      since: back ? { epoch: room.epoch, seq: room.seq } : undefined,
      history: back || !room.history ? undefined : room.history,
    }, {
      done: (event) => this.#admitted(room, event),
      fail: (error) => this.#refused(room, error),
      lost: () => {}, // the next connection asks again
    });
  }

  #refused(room, error) {
    if (room.gone) return;
    room.asked = false;
    if (room.epoch === undefined) {
      this.#forget(room, error.code, error);
    } else if (['rate_limited', 'unavailable', 'internal'].includes(error.code)) {
      const { random, backoffMaxMs } = this.#options;
      const pause = random() * Math.min(backoffMaxMs, 1000 * 2 ** Math.min(room.refusals++, 20));
      this.#timer(`join:${room.id}`, (error.retryAfterMs ?? 0) + pause, () => this.#join(room));
    } else {
      this.#forget(room, error.code);
      this.#emit('removed', { room: room.id, reason: 'refused', code: error.code, text: undefined });
    }
  }

  #admitted(room, event) {
    if (room.gone) return;
    room.asked = false;
    const first = room.epoch === undefined;
    const anew = !first && !event.recovered && (event.epoch !== room.epoch || event.seq < room.seq);
    room.joined = true;
    room.refusals = 0;
    room.info = event.room;
    room.you = event.you;
    room.epoch = event.epoch;
    if (first) room.seq = event.seq;
    else if (anew) {
      room.seq = 0;
      room.acked.clear();
    }
    if (room.renewed) {
      // Keys are the member's: somebody new would say again what the old log may already have.
      room.renewed = false;
      if (!anew) this.#drop(room, (entry) => entry.tried, 'outcome_unknown');
    }
    this.#listed(room, event.presence);
    this.#emit('joined', { ...event, rejoined: !first });
    this.#presence(room, {});
    if (first) room.joining.resolve(event);
    else if (!event.recovered) {
      if (anew) this.#emit('gap', { room: room.id, epoch: room.epoch, newEpoch: true });
      room.held = event.messages.filter(({ seq }) => seq > room.seq);
      room.target = event.seq;
      this.#fill(room);
    }
    this.#pump(room);
  }

  #forget(room, code, error = new ChatError(code)) {
    if (room.gone) return;
    room.gone = true;
    this.#rooms.delete(room.id);
    for (const name of ['join', 'send', 'members']) this.#cancel(`${name}:${room.id}`);
    const underway = room.busy ? room.queue[0] : null;
    this.#drop(room, (entry) => entry !== underway, code);
    if (room.epoch === undefined && !room.leaving) room.joining.reject(error);
    else if (room.epoch === undefined) room.joining.reject(new ChatError('not_joined'));
    room.leaving?.resolve();
  }

  // Sending

  #drop(room, which, code) {
    const dropped = room.queue.filter(which);
    room.queue = room.queue.filter((entry) => !dropped.includes(entry));
    this.#unsent -= dropped.length;
    for (const entry of dropped) entry.reject(new ChatError(code));
  }

  #pump(room) {
    if (!room.joined || room.busy || room.paused || room.gone) return;
    const [entry] = room.queue;
    if (!entry) {
      if (room.leaving) this.#goodbye(room);
      return;
    }
    room.busy = true;
    entry.tried = true;
    const settle = () => {
      room.busy = false;
      room.queue.shift();
      this.#unsent -= 1;
    };
    this.#command(entry.command, {
      done: ({ seq, at }) => {
        settle();
        if (seq > room.seq) {
          room.acked.set(seq, entry.key);
          if (room.acked.size > this.#options.maxUnsent) room.acked.delete(room.acked.keys().next().value);
        }
        const sent = { room: room.id, key: entry.key, seq, at };
        this.#emit('sent', sent);
        entry.resolve(sent);
        this.#pump(room);
      },
      fail: (error) => {
        const again = !room.gone && (error.code === 'rate_limited' || (error.code === 'unavailable' && entry.tries < 5));
        if (again) {
          room.busy = false;
          room.paused = true;
          const pause = error.retryAfterMs ?? 1000 * 2 ** Math.min(entry.tries, 5);
          entry.tries += 1;
          this.#timer(`send:${room.id}`, pause, () => {
            room.paused = false;
            this.#pump(room);
          });
          return;
        }
        settle();
        entry.reject(error);
        this.#pump(room);
      },
      lost: () => {
        if (room.gone) {
          settle();
          entry.reject(new ChatError('outcome_unknown'));
        }
      },
    });
  }

  #goodbye(room) {
    const leaving = room.leaving;
    room.joined = false;
    const end = () => this.#forget(room, 'not_joined');
    this.#command({ type: 'leave', room: room.id }, { done: end, fail: end, lost: end });
    return leaving.promise;
  }

  // The log

  #logged(room, event) {
    if (event.seq <= room.seq) return;
    if (room.filling || event.seq > room.seq + 1) {
      const last = room.held.at(-1);
      if (!last || event.seq > last.seq) room.held.push(event);
      // What is dropped here is only a longer hole.
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

  #skipped(room, { epoch, to }) {
    if (epoch !== room.epoch) {
      room.epoch = epoch;
      room.seq = 0;
      room.acked.clear();
      this.#emit('gap', { room: room.id, epoch, newEpoch: true });
    }
    room.target = Math.max(room.target, to);
    this.#fill(room);
  }

  /** Brings what is missing from `history`, then lets through what was held back behind it. */
  async #fill(room) {
    if (room.filling) return;
    room.filling = true;
    const life = this.#life;
    for (;;) {
      while (room.held.length && room.held[0].seq <= room.seq + 1) {
        const event = room.held.shift();
        if (event.seq > room.seq) this.#deliver(room, event);
      }
      const to = room.held.length ? room.held[0].seq - 1 : room.target;
      if (to <= room.seq) break;
      const { epoch } = room;
      const found = await this.#missing(room, room.seq + 1, to);
      if (life !== this.#life || room.gone) return;
      if (epoch !== room.epoch) continue;
      for (const event of found) {
        if (event.seq <= room.seq) continue;
        if (event.seq > room.seq + 1) this.#gap(room, event.seq - 1);
        this.#deliver(room, event);
      }
      if (room.seq < to) this.#gap(room, to);
    }
    room.filling = false;
  }

  #gap(room, to) {
    const from = room.seq + 1;
    room.seq = to;
    this.#emit('gap', { room: room.id, epoch: room.epoch, from, to, newEpoch: false });
  }

  async #missing(room, from, to) {
    let found = [];
    let before = to + 1;
    let refusals = 0;
    while (found.length < this.#options.maxFill && before > from) {
      let page;
      try {
        page = await this.history(room.id, { before, limit: Math.min(PAGE, before - from) });
      } catch (error) {
        if (!['rate_limited', 'unavailable'].includes(error.code) || ++refusals > 3) break;
        await new Promise((resolve) => setTimeout(resolve, Math.min(error.retryAfterMs ?? 1000, LONGEST_TIMER)));
        continue;
      }
      if (page.messages.length === 0) break;
      found = [...page.messages.filter(({ seq }) => seq >= from && seq < before), ...found];
      before = page.messages[0].seq;
      if (!page.more) break;
    }
    return found;
  }

  // Presence: versioned differences, folded. A list is that of its version; an older difference says nothing new.

  #presence(room, { joined = [], left = [], renamed = [] }) {
    this.#emit('presence', {
      room: room.id, version: room.version, count: room.count, members: [...room.members.values()],
      complete: room.complete, joined, left, renamed,
    });
  }

  #listed(room, { version, count, members }) {
    room.version = version;
    room.count = count;
    room.members = new Map(members.map((member) => [member.id, member]));
    room.complete = members.length >= count;
    room.stale = false;
    room.reload = null;
    if (!room.complete && room.members.size < this.#options.maxMembers) this.#reload(room);
  }

  #apply(room, members, { joined = [], left = [], renamed = [] }) {
    for (const { id } of left) members.delete(id);
    for (const member of [...joined, ...renamed]) {
      if (members.has(member.id) || members.size < this.#options.maxMembers) members.set(member.id, member);
      if (member.id === room.you?.id) room.you = member;
    }
  }

  #changed(room, event) {
    if (event.version <= room.version) return;
    const hole = event.version > room.version + 1;
    const lists = Boolean(event.joined || event.left || event.renamed);
    room.version = event.version;
    room.count = event.count;
    if (lists) this.#apply(room, room.members, event);
    if (room.reload) {
      if (lists && !hole && room.reload.events.length < 1000) room.reload.events.push(event);
      else room.reload.broken = true;
    }
    if (hole || !lists) room.stale = true;
    if (room.stale) room.complete = false;
    // Counts alone mean a room too big for lists: asking then would undo what the server spares.
    if (room.stale && lists) this.#reload(room);
    this.#presence(room, event);
  }

  async #reload(room) {
    if (room.reload || this.#timers.has(`members:${room.id}`)) return;
    const wait = room.reloadedAt + this.#options.membersEveryMs - Date.now();
    if (wait > 0) {
      this.#timer(`members:${room.id}`, wait, () => this.#reload(room));
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
        const page = await this.members(room.id, { cursor, limit: PAGE });
        if (room.gone || room.reload !== reload) return;
        if (version === undefined) {
          ({ version } = page);
          if (version < room.version && reload.events[0]?.version !== version + 1) reload.broken = true;
          if (version > room.version) {
            // The list is ahead of the differences: those up to here are in it.
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
    // Later pages may be of later versions: everything after the first one, in order, still ends at the same list.
    for (const event of reload.events) if (event.version > version) this.#apply(room, found, event);
    room.members = found;
    room.stale = reload.broken;
    room.complete = !room.stale && cursor === undefined && found.size >= Math.min(room.count, count);
    const you = found.get(room.you.id);
    if (you) room.you = you;
    this.#presence(room, {});
  }
}
