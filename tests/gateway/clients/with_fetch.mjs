const [mode, url, size] = process.argv.slice(2);
const body = mode === 'upload' ? Buffer.alloc(Number(size), 'x') : undefined;
const response = await fetch(url, { method: body ? 'POST' : 'GET', body });
if (mode === 'stream') {
  const decoder = new TextDecoder();
  for await (const chunk of response.body) {
    const text = decoder.decode(chunk, { stream: true }).trim();
    if (text) console.log(text);
  }
} else {
  console.log(await response.text());
}
