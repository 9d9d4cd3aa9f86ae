// Command tka-oracle answers questions about Tailnet Lock with Tailscale's own
// package tka, linked as an ordinary dependency.
//
//	tka-oracle                 a JSON question a line on stdin, a JSON answer a line on stdout
//	tka-oracle control         a control server's lock by tstest/tkatest, for a chain given on stdin
//	tka-oracle vectors FILE    writes tests/vectors/tailscale_tka.json
//	tka-oracle version         prints the version of tailscale.com
//
// It is a module of its own because package tka, which needs little, can be of
// a newer release than the programs of lab can.
package main

import (
	"fmt"
	"os"
	"runtime/debug"
)

func main() {
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 0:
		err = serve()
	case len(args) == 1 && args[0] == "control":
		err = serveControl()
	case len(args) == 2 && args[0] == "vectors":
		err = writeVectors(args[1])
	case len(args) == 1 && args[0] == "version":
		fmt.Println(upstreamVersion())
	default:
		err = fmt.Errorf("usage: tka-oracle [control | vectors FILE | version]")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tka-oracle:", err)
		os.Exit(1)
	}
}

func upstreamVersion() string {
	info, _ := debug.ReadBuildInfo()
	for _, m := range info.Deps {
		if m.Path == "tailscale.com" {
			return m.Version
		}
	}
	return "unknown"
}
