// The server under test, a wire that can be cut, a browser, and a plain client.

import { spawn } from 'node:child_process';
import { connect, createServer } from 'node:net';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';
import WebSocket from 'ws';
import { Queue } from './script.mjs';

/** Starts `STANDALONE_BIN` on a free port. */
export async function serve(...flags) {
  const binary = process.env.STANDALONE_BIN;
  if (!binary) throw new Error('STANDALONE_BIN names the server to test');
  const child = spawn(binary, ['--listen', '127.0.0.1:0', ...flags], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const url = await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const found = /listening on (http:\/\/127\.0\.0\.1:\d+)/.exec(line);
      if (found) resolve(found[1]);
    });
    child.once('error', reject);
    ended.then(([code]) => reject(new Error(`the server ended with ${code}`)));
  });
  return {
    url,
    async stop() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** A wire to the server that can be cut, and that then refuses until it is mended. */
export async function wire(target) {
  let { port } = new URL(target);
  const open = new Set();
  let cut = false;
  const server = createServer((near) => {
    if (cut) {
      near.destroy();
      return;
    }
    const far = connect(Number(port), '127.0.0.1');
    for (const [from, to] of [[near, far], [far, near]]) {
      open.add(from);
      from.on('error', () => {});
      from.on('close', () => {
        open.delete(from);
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
      cut = true;
      for (const socket of open) socket.destroy();
    },
    /** Perhaps to another server than before. */
    mend(url = target) {
      ({ port } = new URL(url));
      cut = false;
    },
    stop() {
      this.cut();
      server.close();
    },
  };
}

export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync'],
  });
}

/** Somebody with a browser of their own. `complaints` is what the console and the page had to say. */
export class Person {
  static async arrive(browser, options = {}) {
    const person = new Person();
    person.context = await browser.newContext({ locale: 'en-US', ...options });
    person.page = await person.context.newPage();
    person.complaints = [];
    person.page.on('pageerror', (error) => person.complaints.push(String(error)));
    person.page.on('console', (entry) => {
      // That a room does not exist yet is an answer, which browsers report as if it were a fault.
      if (new URL(entry.location().url || 'about:blank').pathname.startsWith('/api/rooms/')) return;
      if (['error', 'warning'].includes(entry.type())) person.complaints.push(entry.text());
    });
    return person;
  }

  async enter(url, nickname, password) {
    await this.page.goto(url);
    await this.knock(nickname, password);
    await this.page.locator('#text:enabled').waitFor();
  }

  async knock(nickname, password) {
    const door = this.page.locator('#entry');
    await door.waitFor();
    if (nickname !== undefined) await door.locator('#entry-nickname').fill(nickname);
    if (password !== undefined) await door.locator('#entry-password').fill(password);
    await door.locator('#entry-go').click();
  }

  async say(text) {
    await this.page.locator('#text').fill(text);
    await this.page.locator('#text').press('Enter');
  }

  /** Waits for a text among the messages. */
  sees(text) { return this.page.locator('#list .text', { hasText: text }).first().waitFor(); }

  texts() { return this.page.locator('#list .text').allTextContents(); }

  names() { return this.page.locator('#members .name').allTextContents(); }

  seesNames(...names) {
    return this.page.waitForFunction((wanted) => {
      const shown = [...document.querySelectorAll('#members .name')].map((node) => node.textContent).sort();
      return JSON.stringify(shown) === JSON.stringify(wanted);
    }, [...names].sort());
  }

  leave() { return this.context.close(); }
}

/** A client that shares no code with the page. */
export class Plain {
  static async enter(url, room, nickname, fields = {}) {
    const plain = new Plain();
    plain.room = room;
    plain.events = [];
    plain.socket = new WebSocket(`${url.replace('http', 'ws')}/ws`, 'chat.v1');
    const replies = new Map();
    const came = new Queue();
    plain.came = came;
    let last = 0;
    plain.ask = (command) => new Promise((resolve, reject) => {
      const id = ++last;
      replies.set(id, (event) => (event.type === 'error' ? reject(new Error(event.code)) : resolve(event)));
      plain.socket.send(JSON.stringify({ ...command, id }));
    });
    plain.socket.on('message', (data) => {
      const event = JSON.parse(data);
      if (event.id !== undefined) replies.get(event.id)?.(event);
      else {
        plain.events.push(event);
        came.push(event);
      }
    });
    await once(plain.socket, 'open');
    await plain.ask({ type: 'hello' });
    if (room !== undefined) await plain.ask({ type: 'join', room, nickname, ...fields });
    return plain;
  }

  say(text) { return this.ask({ type: 'send', room: this.room, text }); }

  texts() { return this.events.filter(({ type }) => type === 'message').map(({ text }) => text); }

  async sees(text) {
    while (!this.texts().includes(text)) await this.came.next(`no ${text}`);
  }

  leave() { this.socket.close(); }
}

let rooms = 0;

export const freshRoom = () => `room-${process.pid}-${++rooms}`;
