package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/netip"
	"net/url"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/disco"
	"tailscale.com/net/netcheck"
	"tailscale.com/net/netmon"
	"tailscale.com/net/stun"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
	"tailscale.com/util/eventbus"
)

// runDERPClient puts two of Tailscale's DERP clients on one relay. Both send the
// other --count packets of --size bytes; then a packet goes to nobody, and one
// of the two leaves. What came is printed as one line.
func runDERPClient(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("derp-client", flag.ContinueOnError)
	var (
		at      = fs.String("url", "", "relay `URL`: https://ip:port, or http://ip:port without TLS")
		pin     = fs.String("pin", "", "expect the certificate with this SHA-256 in `hex`, instead of any")
		count   = fs.Int("count", 100, "packets each way")
		size    = fs.Int("size", 1000, "bytes a packet")
		limit   = fs.Duration("timeout", 20*time.Second, "give up after this `long`")
		verbose = fs.Bool("verbose", false, "log what the clients do")
	)
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *size < 4 {
		return fmt.Errorf("--size is %d, want at least 4", *size)
	}
	logf := func(string, ...any) {}
	if *verbose {
		logf = log.Printf
	}
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	dial, err := derpDialer(*at, *pin, logf)
	if err != nil {
		return err
	}
	one, two := key.NewNode(), key.NewNode()
	a, err := dial(ctx, one)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := dial(ctx, two)
	if err != nil {
		return err
	}
	defer b.Close()
	context.AfterFunc(ctx, func() { a.Close(); b.Close() })
	start := time.Now()

	type received struct {
		intact int
		err    error
	}
	exchange := func(from *derphttp.Client, fromKey key.NodePrivate, to *derphttp.Client, toKey key.NodePrivate) received {
		got := make(chan received, 1)
		go func() {
			intact := 0
			for intact < *count {
				m, err := to.Recv()
				if err != nil {
					got <- received{intact, err}
					return
				}
				p, ok := m.(derp.ReceivedPacket)
				if !ok {
					continue
				}
				if p.Source != fromKey.Public() || !bytes.Equal(p.Data, numbered(intact, *size)) {
					got <- received{intact, fmt.Errorf("packet %d is damaged or from another", intact)}
					return
				}
				intact++
			}
			got <- received{intact, nil}
		}()
		for i := range *count {
			if err := from.Send(toKey.Public(), numbered(i, *size)); err != nil {
				return received{0, err}
			}
			time.Sleep(200 * time.Microsecond) // a relay drops what a slow reader leaves queued
		}
		return <-got
	}
	there := exchange(a, one, b, two)
	back := exchange(b, two, a, one)
	out := map[string]any{
		"serverKey": a.ServerPublicKey(), "count": *count, "size": *size, "there": there.intact, "back": back.intact,
	}
	if state, ok := a.TLSConnectionState(); ok {
		out["tls"] = map[string]any{"version": state.Version, "certificates": len(state.PeerCertificates)}
	}
	err = errors.Join(there.err, back.err)
	if err == nil {
		out["exchangeMs"] = time.Since(start).Milliseconds()
		err = errors.Join(
			expectGone(a, func() error { return a.Send(key.NewNode().Public(), discoLike) }, derp.PeerGoneReasonNotHere),
			expectGone(a, b.Close, derp.PeerGoneReasonDisconnected),
			pong(a),
		)
		out["peerGone"] = err == nil
	}
	printJSON(out)
	return err
}

// discoLike looks like a disco packet. derpserver tells that a peer is not here
// only in answer to one of those.
var discoLike = append([]byte(disco.Magic), make([]byte, key.DiscoPublicRawLen+disco.NonceLen+32)...)

// numbered is packet i of an exchange.
func numbered(i, size int) []byte {
	p := make([]byte, size)
	binary.LittleEndian.PutUint32(p, uint32(i))
	newSeeded(uint32(i) + 1).Read(p[4:])
	return p
}

// expectGone acts and reads until the relay says that a peer is gone, and why.
func expectGone(c *derphttp.Client, act func() error, want derp.PeerGoneReasonType) error {
	if err := act(); err != nil {
		return err
	}
	for {
		m, err := c.Recv()
		if err != nil {
			return fmt.Errorf("waiting for peer gone (reason %d): %w", want, err)
		}
		if g, ok := m.(derp.PeerGoneMessage); ok {
			if g.Reason != want {
				return fmt.Errorf("peer gone with reason %d, want %d", g.Reason, want)
			}
			return nil
		}
	}
}

// pong sends a DERP ping and reads until its pong.
func pong(c *derphttp.Client) error {
	data := [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
	if err := c.SendPing(data); err != nil {
		return err
	}
	for {
		m, err := c.Recv()
		if err != nil {
			return fmt.Errorf("waiting for a pong: %w", err)
		}
		if p, ok := m.(derp.PongMessage); ok {
			if [8]byte(p) != data {
				return errors.New("the pong has other data than the ping")
			}
			return nil
		}
	}
}

func derpDialer(at, pin string, logf func(string, ...any)) (func(context.Context, key.NodePrivate) (*derphttp.Client, error), error) {
	u, err := url.Parse(at)
	if err != nil || u.Hostname() == "" {
		return nil, fmt.Errorf("cannot use --url %q: want https://ip:port or http://ip:port", at)
	}
	connect := func(ctx context.Context, c *derphttp.Client) (*derphttp.Client, error) {
		c.SetCanAckPings(true)
		err := c.Connect(ctx)
		if err == nil {
			err = pong(c) // a client is on the relay only once the relay has answered it
		}
		if err != nil {
			c.Close()
			return nil, err
		}
		return c, nil
	}
	if u.Scheme == "http" {
		return func(ctx context.Context, k key.NodePrivate) (*derphttp.Client, error) {
			c, err := derphttp.NewClient(k, u.JoinPath("/derp").String(), logf, netmon.NewStatic())
			if err != nil {
				return nil, err
			}
			return connect(ctx, c)
		}, nil
	}
	ip, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return nil, fmt.Errorf("cannot use --url %q: %w", at, err)
	}
	port, _ := strconv.Atoi(u.Port())
	node := &tailcfg.DERPNode{Name: "1a", RegionID: 1, HostName: ip.String(), IPv4: "none", IPv6: "none", DERPPort: port}
	if ip.Is4() {
		node.IPv4 = ip.String()
	} else {
		node.IPv6 = ip.String()
	}
	if pin != "" {
		node.CertName = "sha256-raw:" + pin
	} else {
		node.InsecureForTests = true
	}
	region := &tailcfg.DERPRegion{RegionID: 1, RegionCode: "lab", Nodes: []*tailcfg.DERPNode{node}}
	return func(ctx context.Context, k key.NodePrivate) (*derphttp.Client, error) {
		return connect(ctx, derphttp.NewRegionClient(k, logf, netmon.NewStatic(), func() *tailcfg.DERPRegion { return region }))
	}, nil
}

// runSTUN sends one binding request as Tailscale's clients do.
func runSTUN(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("stun", flag.ContinueOnError)
	server := fs.String("server", "", "STUN server `addr:port`")
	limit := fs.Duration("timeout", 2*time.Second, "wait this `long` for the answer")
	if err := fs.Parse(args); err != nil {
		return err
	}
	c, err := new(net.Dialer).DialContext(ctx, "udp", *server)
	if err != nil {
		return err
	}
	defer c.Close()
	start := time.Now()
	tx := stun.NewTxID()
	if _, err := c.Write(stun.Request(tx)); err != nil {
		return err
	}
	c.SetReadDeadline(start.Add(*limit))
	buf := make([]byte, 1500)
	n, err := c.Read(buf)
	if err != nil {
		return err
	}
	got, mapped, err := stun.ParseResponse(buf[:n])
	if err != nil {
		return fmt.Errorf("bad answer %x: %w", buf[:n], err)
	}
	if got != tx {
		return fmt.Errorf("the answer's transaction ID is %x, want %x", got, tx)
	}
	return printJSON(map[string]any{
		"mapped": mapped, "local": c.LocalAddr().String(), "ms": float64(time.Since(start).Microseconds()) / 1000,
	})
}

// runNetcheck makes one report as `tailscale netcheck` does, without port mapping.
func runNetcheck(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("netcheck", flag.ContinueOnError)
	file := fs.String("derp-map", "", "`file` with a tailcfg.DERPMap in JSON")
	verbose := fs.Bool("verbose", false, "log what the client does")
	if err := fs.Parse(args); err != nil {
		return err
	}
	b, err := os.ReadFile(*file)
	if err != nil {
		return err
	}
	var dm tailcfg.DERPMap
	if err := json.Unmarshal(b, &dm); err != nil {
		return err
	}
	logf := func(string, ...any) {}
	if *verbose {
		logf = log.Printf
	}
	bus := eventbus.New()
	defer bus.Close()
	mon, err := netmon.New(bus, logf)
	if err != nil {
		return err
	}
	defer mon.Close()
	c := &netcheck.Client{NetMon: mon, Logf: logf, Verbose: *verbose}
	if err := c.Standalone(ctx, ":0"); err != nil {
		return err
	}
	report, err := c.GetReport(ctx, &dm, nil)
	if err != nil {
		return err
	}
	return printJSON(report)
}

// runVersion says which upstream this program is.
func runVersion(context.Context, []string) error {
	v := upstreamVersion()
	return printJSON(map[string]any{
		"module": "tailscale.com", "version": v, "capabilityVersion": tailcfg.CurrentCapabilityVersion,
	})
}

func upstreamVersion() string {
	bi, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	i := slices.IndexFunc(bi.Deps, func(m *debug.Module) bool { return m.Path == "tailscale.com" })
	if i < 0 {
		return "unknown"
	}
	return bi.Deps[i].Version
}
