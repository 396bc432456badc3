// Named imports and the default agent, as most programs use them.
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';

const [mode, url, size] = process.argv.slice(2);
const request = url.startsWith('https:') ? httpsRequest : httpRequest;
const call = request(url, { method: mode === 'upload' ? 'POST' : 'GET' }, (response) => {
  response.setEncoding('utf8');
  let text = '';
  response.on('data', (chunk) => {
    if (mode === 'stream') { if (chunk.trim()) console.log(chunk.trim()); } else text += chunk;
  });
  response.on('end', () => { if (mode !== 'stream') console.log(text); });
});
call.end(mode === 'upload' ? Buffer.alloc(Number(size), 'x') : undefined);
