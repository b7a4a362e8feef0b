// A WebSocket whose other end is controlled by the test.

import { ChatClient } from '../../web/chat-client.js';

const TIMEOUT_MS = 5000;

/** Items in order. A consumer may ask for one before or after it arrives. */
export class Queue {
  #items = [];
  #waiting = [];

  push(item) {
    const consumer = this.#waiting.shift();
    if (consumer) consumer(item);
    else this.#items.push(item);
  }

  get size() { return this.#items.length; }

  next(message = 'nothing arrived') {
    if (this.#items.length) return Promise.resolve(this.#items.shift());
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(message)), TIMEOUT_MS);
      this.#waiting.push((item) => {
        clearTimeout(timer);
        resolve(item);
      });
    });
  }
}

/** Gives the client a `WebSocket` class, and the test the server's end of each connection. */
export class ScriptedServer {
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

      // The server's end

      deliver(event) { this.onmessage?.({ data: JSON.stringify(event) }); }

      drop(code = 1006, reason = '') { this.onclose?.({ code, reason }); }

      /** The next command, which must be of this type. */
      async receive(type) {
        const command = await this.sent.next(`no ${type} arrived`);
        if (command.type !== type) throw new Error(`received ${command.type} instead of ${type}: ${command.raw}`);
        return command;
      }

      /** Receives `hello` and answers it with `welcome`. */
      async welcome(fields = {}) {
        const hello = await this.receive('hello');
        this.deliver({
          type: 'welcome', id: hello.id, protocol: 1, nickname: 'Guest', token: 'token-1', expires_at: 2e12,
          limits: { text_bytes: 4096, frame_bytes: 65536 }, heartbeat_ms: 25000, ...fields,
        });
        return hello;
      }

      /** Receives `join` and answers it with `joined`. */
      async admit(fields = {}) {
        const join = await this.receive('join');
        const you = { id: 'me', nickname: join.nickname ?? 'Guest' };
        this.deliver({
          type: 'joined', id: join.id, room: { id: join.room, title: '', capacity: 0, count: 1, has_password: false, created_at: 1 },
          you, presence: { version: 1, count: 1, members: [you] }, epoch: 'e1', seq: 0, recovered: Boolean(join.since), messages: [], ...fields,
        });
        return join;
      }

      /** Receives `send` and answers it with `sent`. */
      async acknowledge(seq) {
        const send = await this.receive('send');
        this.deliver({ type: 'sent', id: send.id, room: send.room, seq, at: seq, key: send.key });
        return send;
      }
    };
  }

  /** The next connection, opened. */
  async accept() {
    const socket = await this.#sockets.next('no connection was opened');
    socket.onopen?.({});
    return socket;
  }

  get pendingCount() { return this.#sockets.size; }
}

export function message(seq, text = `m${seq}`, from = { id: 'other', nickname: 'Other' }) {
  return { type: 'message', room: 'r', seq, from, text, at: seq };
}

/** A client in room `r` of a scripted server, and all the events that it emits. */
export async function inRoom(options = {}, joined = {}) {
  const server = new ScriptedServer();
  const client = new ChatClient('ws://test/ws', { WebSocket: server.WebSocket, random: () => 0, ...options });
  const log = [];
  const events = new Queue();
  for (const type of ['state', 'identity', 'joined', 'removed', 'message', 'notice', 'sent', 'gap', 'presence', 'typing', 'closing', 'error']) {
    client.addEventListener(type, ({ detail }) => {
      log.push({ type, ...detail });
      events.push({ ...detail, eventType: type });
    });
  }
  client.connect();
  const joining = client.join('r', { nickname: 'Me', history: 10 });
  const socket = await server.accept();
  await socket.welcome(options.welcome);
  const join = await socket.admit(joined);
  await joining;
  return {
    server, client, socket, log, join,
    texts: () => log.filter(({ text }) => text !== undefined).map(({ text }) => text),
    /** The next event of this type. */
    async event(type) {
      for (;;) {
        const event = await events.next(`no ${type} arrived`);
        if (event.eventType === type) return event;
      }
    },
  };
}
