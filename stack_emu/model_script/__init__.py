"""The scripted model: which script answers a conversation, which of its turns comes next, and where its calls go.

- `conversation`: what a request's messages say about the past: anchor, turns already taken, results of calls.
- `matching`: which script answers, and why the nearest one does not.
- `routing`: whether a scripted call runs through the MCP connector or is handed to the client.
- `script`: the turns one reply runs, checked before the first of them is said.

Everything is a function of the request: no counters, so retries and side calls change nothing. Nothing is imported
here.
"""
