// Command lab is the other side of the interop tests: Tailscale's own control
// plane, relay, nodes and clients, linked as ordinary dependencies, behind
// subcommands that speak JSON.
//
// A long-lived subcommand (control, derp, peer) prints one JSON line on stdout
// when it serves, takes orders over HTTP on its --admin socket, and ends when
// its standard input closes, on SIGTERM, or on POST /shutdown: it can not
// outlive the test that started it. Its log goes to stderr. A short one prints
// JSON lines and exits; a failure is one line on stderr and exit status 1.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

type command struct {
	name  string
	usage string
	run   func(ctx context.Context, args []string) error
}

func commands() []command {
	return []command{
		{"control", "testcontrol with a DERP relay and a STUN responder", runControl},
		{"derp", "a DERP relay and a STUN responder of their own", runRelay},
		{"peer", "one tsnet node", runPeer},
		{"local", "drive a LocalAPI socket with client/local", runLocal},
		{"tsp", "register with a coordinator and stream its map with control/tsp", runTSP},
		{"derp-client", "two derphttp clients that exchange packets through a relay", runDERPClient},
		{"stun", "one STUN binding request", runSTUN},
		{"netcheck", "a netcheck report for a DERP map", runNetcheck},
		{"vectors", "write test vectors: wire, filter, wycheproof", runVectors},
		{"wireguard", "wireguard-go on a TUN device, configured by standard input", runWireGuard},
		{"version", "the upstream version this program is linked to", runVersion},
	}
}

func main() {
	if len(os.Args) < 2 {
		usage(os.Stderr)
		os.Exit(2)
	}
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == os.Args[1] })
	if i < 0 {
		usage(os.Stderr)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := all[i].run(ctx, os.Args[2:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "lab %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

func usage(w io.Writer) {
	fmt.Fprintln(w, "usage: lab <command> [flags]")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-12s %s\n", c.name, c.usage)
	}
}

// untilStdinCloses derives a context that also ends at the end of standard
// input. It must be asked for only by commands that read nothing from there.
func untilStdinCloses(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return ctx, cancel
}

// closeWithin runs close and gives up waiting after d, so that a node which
// can not reach its control server does not hold up the end of a test.
func closeWithin(d time.Duration, close func()) {
	done := make(chan struct{})
	go func() {
		defer func() { done <- struct{}{} }()
		close()
	}()
	select {
	case <-done:
	case <-time.After(d):
	}
}

// printJSON writes v as one line.
func printJSON(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(append(b, '\n'))
	return err
}

// listFlag is a flag given as a comma-separated list or repeated.
type listFlag []string

func (l *listFlag) String() string { return strings.Join(*l, ",") }

func (l *listFlag) Set(s string) error {
	for _, v := range strings.Split(s, ",") {
		if v != "" {
			*l = append(*l, v)
		}
	}
	return nil
}
