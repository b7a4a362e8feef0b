// A WebSocket whose other end is the test.

import { ChatClient } from '../../web/chat-client.js';

const PATIENCE_MS = 5000;

/** What comes, in order, for who asks before or after it has come. */
export class Queue {
  #items = [];
  #takers = [];

  push(item) {
    const taker = this.#takers.shift();
    if (taker) taker(item);
    else this.#items.push(item);
  }

  get size() { return this.#items.length; }

  next(what = 'nothing came') {
    if (this.#items.length) return Promise.resolve(this.#items.shift());
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(what)), PATIENCE_MS);
      this.#takers.push((item) => {
        clearTimeout(timer);
        resolve(item);
      });
    });
  }
}

export class Server {
  #sockets = new Queue();

  constructor() {
    const sockets = this.#sockets;
    this.WebSocket = class {
      constructor(url, protocols) {
        this.url = url;
        this.protocols = protocols;
        this.sent = new Queue();
        this.closed = false;
        sockets.push(this);
      }

      send(text) { this.sent.push({ ...JSON.parse(text), raw: text }); }

      close() { this.closed = true; }

      // The other end

      say(event) { this.onmessage?.({ data: JSON.stringify(event) }); }

      cut(code = 1006, reason = '') { this.onclose?.({ code, reason }); }

      async hear(type) {
        const command = await this.sent.next(`no ${type}`);
        if (command.type !== type) throw new Error(`${command.type} instead of ${type}: ${command.raw}`);
        return command;
      }

      async welcome(fields = {}) {
        const hello = await this.hear('hello');
        this.say({
          type: 'welcome', id: hello.id, protocol: 1, nickname: 'Guest', token: 'token-1', expires_at: 2e12,
          limits: { text_bytes: 4096, frame_bytes: 65536 }, heartbeat_ms: 25000, ...fields,
        });
        return hello;
      }

      async admit(fields = {}) {
        const join = await this.hear('join');
        const you = { id: 'me', nickname: join.nickname ?? 'Guest' };
        this.say({
          type: 'joined', id: join.id, room: { id: join.room, title: '', capacity: 0, count: 1, has_password: false, created_at: 1 },
          you, presence: { version: 1, count: 1, members: [you] }, epoch: 'e1', seq: 0, recovered: Boolean(join.since), messages: [], ...fields,
        });
        return join;
      }

      async take(seq) {
        const send = await this.hear('send');
        this.say({ type: 'sent', id: send.id, room: send.room, seq, at: seq, key: send.key });
        return send;
      }
    };
  }

  /** The next connection, open. */
  async accept() {
    const socket = await this.#sockets.next('no connection');
    socket.onopen?.({});
    return socket;
  }

  get waiting() { return this.#sockets.size; }
}

export function message(seq, text = `m${seq}`, from = { id: 'other', nickname: 'Other' }) {
  return { type: 'message', room: 'r', seq, from, text, at: seq };
}

/** A client in room `r` of a scripted server, and all that it says. */
export async function inRoom(options = {}, joined = {}) {
  const server = new Server();
  const client = new ChatClient('ws://test/ws', { WebSocket: server.WebSocket, random: () => 0, ...options });
  const log = [];
  const events = new Queue();
  for (const type of ['state', 'identity', 'joined', 'removed', 'message', 'notice', 'sent', 'gap', 'presence', 'typing', 'closing', 'error']) {
    client.addEventListener(type, ({ detail }) => {
      log.push({ type, ...detail });
      events.push({ ...detail, is: type });
    });
  }
  client.connect();
  const entered = client.join('r', { nickname: 'Me', history: 10 });
  const socket = await server.accept();
  await socket.welcome(options.welcome);
  const join = await socket.admit(joined);
  await entered;
  return {
    server, client, socket, log, join,
    texts: () => log.filter(({ text }) => text !== undefined).map(({ text }) => text),
    /** The next event of this type. */
    async event(type) {
      for (;;) {
        const event = await events.next(`no ${type}`);
        if (event.is === type) return event;
      }
    },
  };
}
