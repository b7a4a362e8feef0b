// A picture of two people talking, written to SCREENSHOT. Run by hand.

import { Person, launch, serve } from './stage.mjs';

const path = process.env.SCREENSHOT;
if (!path) throw new Error('SCREENSHOT names the file to write');

const server = await serve();
const browser = await launch();
try {
  const screen = { viewport: { width: 1280, height: 800 }, colorScheme: process.env.SCHEME ?? 'light' };
  const [mina, joon] = [await Person.arrive(browser, screen), await Person.arrive(browser)];
  await mina.page.goto(server.url);
  await mina.page.locator('#create [name=title]').fill('Weekend in Busan');
  await mina.page.locator('#create [name=capacity]').fill('8');
  await mina.page.locator('#create button').click();
  await mina.knock('Mina');
  await mina.page.locator('#text:enabled').waitFor();
  await joon.enter(mina.page.url(), 'Joon');
  await mina.seesNames('Mina', 'Joon');
  const talk = [
    [joon, 'Morning! Are we still on for Saturday?'],
    [mina, 'Yes. I looked at the trains: there is one at 9:40.'],
    [mina, 'That gets us there before noon.'],
    [joon, 'Good. The forecast says sun until the evening, so the beach first and the market after that?'],
    [joon, '부산역 앞에서 만나요.'],
    [mina, 'Sounds right. Here is the way from the station: https://example.org/busan/haeundae'],
  ];
  for (const [who, text] of talk) {
    await who.say(text);
    await mina.sees(text);
  }
  await joon.sees('Sounds right.');
  await joon.page.locator('#list .msg', { hasText: '9:40' }).hover();
  await joon.page.locator('#list .msg', { hasText: '9:40' }).locator('.reply').click();
  await joon.say('Booked. Two seats, by the window.');
  await mina.sees('Booked.');
  await joon.page.locator('#text').pressSequentially('And');
  await mina.page.locator('#typing bdi').waitFor();
  await mina.page.locator('#text').fill('Perfect, thank you');
  await mina.page.mouse.move(0, 0);
  await mina.page.screenshot({ path, animations: 'disabled' });
} finally {
  await browser.close();
  await server.stop();
}
