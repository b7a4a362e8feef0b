// Writes a picture of a conversation between two users to SCREENSHOT. Run by hand.

import { User, launchBrowser, startServer } from './harness.mjs';

const path = process.env.SCREENSHOT;
if (!path) throw new Error('SCREENSHOT must name the file to write');

const server = await startServer();
const browser = await launchBrowser();
try {
  const screen = { viewport: { width: 1280, height: 800 }, colorScheme: process.env.SCHEME ?? 'light' };
  const [mina, joon] = [await User.open(browser, screen), await User.open(browser)];
  await mina.page.goto(server.url);
  await mina.page.locator('#create [name=title]').fill('Weekend in Busan');
  await mina.page.locator('#create [name=capacity]').fill('8');
  await mina.page.locator('#create button').click();
  await mina.submitEntry('Mina');
  await mina.page.locator('#text:enabled').waitFor();
  await joon.join(mina.page.url(), 'Joon');
  await mina.waitForNames('Mina', 'Joon');
  const conversation = [
    [joon, 'Morning! Are we still on for Saturday?'],
    [mina, 'Yes. I looked at the trains: there is one at 9:40.'],
    [mina, 'That gets us there before noon.'],
    [joon, 'Good. The forecast says sun until the evening, so the beach first and the market after that?'],
    [joon, '부산역 앞에서 만나요.'],
    [mina, 'Sounds right. Here is the way from the station: https://example.org/busan/haeundae'],
  ];
  for (const [sender, text] of conversation) {
    await sender.send(text);
    await mina.waitForText(text);
  }
  await joon.waitForText('Sounds right.');
  await joon.page.locator('#list .msg', { hasText: '9:40' }).hover();
  await joon.page.locator('#list .msg', { hasText: '9:40' }).locator('.reply').click();
  await joon.send('Booked. Two seats, by the window.');
  await mina.waitForText('Booked.');
  await joon.page.locator('#text').pressSequentially('And');
  await mina.page.locator('#typing bdi').waitFor();
  await mina.page.locator('#text').fill('Perfect, thank you');
  await mina.page.mouse.move(0, 0);
  await mina.page.screenshot({ path, animations: 'disabled' });
} finally {
  await browser.close();
  await server.stop();
}
