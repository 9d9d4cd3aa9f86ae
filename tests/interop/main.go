package main

import (
	_ "tailscale.com/client/local"
	_ "tailscale.com/control/tsp"
	_ "tailscale.com/derp/derphttp"
	_ "tailscale.com/derp/derpserver"
	_ "tailscale.com/net/netcheck"
	_ "tailscale.com/net/stun"
	_ "tailscale.com/tsnet"
	_ "tailscale.com/tstest/integration/testcontrol"
)

func main() {}
