import sys
import urllib.error
import urllib.request

mode, url = sys.argv[1:3]
body = b"x" * int(sys.argv[3]) if mode == "upload" else None
try:
    with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=20) as response:
        if mode == "stream":
            for line in response:
                if line.strip():
                    print(line.decode().strip(), flush=True)
        else:
            print(response.read().decode())
except urllib.error.HTTPError as error:
    print(error.read().decode())
