"""How clients reach the worlds: REST, MCP, Messages, gateway, control. Surfaces translate; they never decide."""
