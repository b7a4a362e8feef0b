// The server under test, a proxy that can be cut, a browser, and a plain client.

import { spawn } from 'node:child_process';
import { connect, createServer } from 'node:net';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';
import WebSocket from 'ws';
import { Queue } from './scripted-server.mjs';

/** Starts `STANDALONE_BIN` on a free port. */
export async function startServer(...flags) {
  const binary = process.env.STANDALONE_BIN;
  if (!binary) throw new Error('STANDALONE_BIN must name the server to test');
  const child = spawn(binary, ['--listen', '127.0.0.1:0', ...flags], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const url = await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const found = /listening on (http:\/\/127\.0\.0\.1:\d+)/.exec(line);
      if (found) resolve(found[1]);
    });
    child.once('error', reject);
    ended.then(([code]) => reject(new Error(`the server exited with ${code}`)));
  });
  return {
    url,
    async stop() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** A proxy to the server that can be cut. It then refuses connections until it is restored. */
export async function startProxy(target) {
  let { port } = new URL(target);
  const sockets = new Set();
  let isCut = false;
  const server = createServer((client) => {
    if (isCut) {
      client.destroy();
      return;
    }
    const upstream = connect(Number(port), '127.0.0.1');
    for (const [from, to] of [[client, upstream], [upstream, client]]) {
      sockets.add(from);
      from.on('error', () => {});
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    cut() {
      isCut = true;
      for (const socket of sockets) socket.destroy();
    },
    /** Accepts connections again, to another server if `url` is given. */
    restore(url = target) {
      ({ port } = new URL(url));
      isCut = false;
    },
    stop() {
      this.cut();
      server.close();
    },
  };
}

export function launchBrowser() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync'],
  });
}

/** A user with their own browser profile. `problems` lists the errors and warnings of the page and its console. */
export class User {
  static async open(browser, options = {}) {
    const user = new User();
    user.context = await browser.newContext({ locale: 'en-US', ...options });
    user.page = await user.context.newPage();
    user.problems = [];
    user.page.on('pageerror', (error) => user.problems.push(String(error)));
    user.page.on('console', (entry) => {
      // A room that does not exist yet is an expected response, but browsers report it as an error.
      if (new URL(entry.location().url || 'about:blank').pathname.startsWith('/api/rooms/')) return;
      if (['error', 'warning'].includes(entry.type())) user.problems.push(entry.text());
    });
    return user;
  }

  /** Opens the room at `url` and joins it. */
  async join(url, nickname, password) {
    await this.page.goto(url);
    await this.submitEntry(nickname, password);
    await this.page.locator('#text:enabled').waitFor();
  }

  /** Fills in and submits the form that asks for a nickname and perhaps a password. */
  async submitEntry(nickname, password) {
    const form = this.page.locator('#entry');
    await form.waitFor();
    if (nickname !== undefined) await form.locator('#entry-nickname').fill(nickname);
    if (password !== undefined) await form.locator('#entry-password').fill(password);
    await form.locator('#entry-go').click();
  }

  async send(text) {
    await this.page.locator('#text').fill(text);
    await this.page.locator('#text').press('Enter');
  }

  /** Waits until a text is shown among the messages. */
  waitForText(text) { return this.page.locator('#list .text', { hasText: text }).first().waitFor(); }

  texts() { return this.page.locator('#list .text').allTextContents(); }

  names() { return this.page.locator('#members .name').allTextContents(); }

  /** Waits until exactly these nicknames are listed. */
  waitForNames(...names) {
    return this.page.waitForFunction((expected) => {
      const shown = [...document.querySelectorAll('#members .name')].map((node) => node.textContent).sort();
      return JSON.stringify(shown) === JSON.stringify(expected);
    }, [...names].sort());
  }

  leave() { return this.context.close(); }
}

/** A client that shares no code with the page. */
export class PlainClient {
  static async join(url, room, nickname, fields = {}) {
    const client = new PlainClient();
    client.room = room;
    client.events = [];
    client.socket = new WebSocket(`${url.replace('http', 'ws')}/ws`, 'chat.v1');
    const replies = new Map();
    const arrived = new Queue();
    client.arrived = arrived;
    let lastId = 0;
    client.request = (command) => new Promise((resolve, reject) => {
      const id = ++lastId;
      replies.set(id, (event) => (event.type === 'error' ? reject(new Error(event.code)) : resolve(event)));
      client.socket.send(JSON.stringify({ ...command, id }));
    });
    client.socket.on('message', (data) => {
      const event = JSON.parse(data);
      if (event.id !== undefined) replies.get(event.id)?.(event);
      else {
        client.events.push(event);
        arrived.push(event);
      }
    });
    await once(client.socket, 'open');
    await client.request({ type: 'hello' });
    if (room !== undefined) await client.request({ type: 'join', room, nickname, ...fields });
    return client;
  }

  send(text) { return this.request({ type: 'send', room: this.room, text }); }

  texts() { return this.events.filter(({ type }) => type === 'message').map(({ text }) => text); }

  async waitForText(text) {
    while (!this.texts().includes(text)) await this.arrived.next(`${text} did not arrive`);
  }

  leave() { this.socket.close(); }
}

let roomCount = 0;

/** An id that no other test uses. */
export const freshRoom = () => `room-${process.pid}-${++roomCount}`;
