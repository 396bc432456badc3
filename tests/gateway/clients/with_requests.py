import sys

import requests

mode, url = sys.argv[1:3]
with requests.Session() as session:
    if mode == "stream":
        with session.get(url, stream=True, timeout=20) as response:
            for line in response.iter_lines(chunk_size=1):
                if line:
                    print(line.decode(), flush=True)
    else:
        body = b"x" * int(sys.argv[3]) if mode == "upload" else None
        response = session.request("POST" if body else "GET", url, data=body, timeout=20)
        print(response.text)
