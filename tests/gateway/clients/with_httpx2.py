import sys

import httpx2

mode, url = sys.argv[1:3]
with httpx2.Client(timeout=20) as client:
    if mode == "stream":
        with client.stream("GET", url) as response:
            for line in response.iter_lines():
                if line:
                    print(line, flush=True)
    else:
        body = b"x" * int(sys.argv[3]) if mode == "upload" else None
        response = client.request("POST" if body else "GET", url, content=body)
        print(response.text)
