package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"tailscale.com/client/local"
	"tailscale.com/client/tailscale/apitype"
	"tailscale.com/envknob"
	_ "tailscale.com/feature/captiveportal/netcheckhook" // tailscaled has it, tsnet not
	_ "tailscale.com/feature/relayserver"                // tsnet leaves it out; prefs turn it on
	"tailscale.com/ipn"
	"tailscale.com/ipn/ipnstate"
	"tailscale.com/net/netcheck"
	"tailscale.com/tailcfg"
	"tailscale.com/tsnet"
)

// peer is one tsnet node and what it serves on the tailnet.
type peer struct {
	srv     *tsnet.Server
	lc      *local.Client
	traffic *traffic
}

func runPeer(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("peer", flag.ContinueOnError)
	var (
		tags       listFlag
		controlURL = fs.String("control", "", "coordination server `URL`")
		hostname   = fs.String("hostname", "lab-peer", "host `name`")
		authKey    = fs.String("authkey", "", "auth `key`")
		dir        = fs.String("dir", "", "state `directory`")
		adminAt    = fs.String("admin", "", "admin `address`: unix:/path or tcp:host:port")
		ephemeral  = fs.Bool("ephemeral", false, "register as an ephemeral node")
		port       = fs.Uint("port", 0, "UDP `port`")
		wait       = fs.Duration("wait", 30*time.Second, "wait this `long` for Running before the ready line; 0 does not wait")
		portmap    = fs.Bool("portmap", false, "ask the gateway for port mappings")
		derpOnly   = fs.Bool("derp-only", false, "never use a direct path")
		caFile     = fs.String("ca-file", "", "trust the certificates in this PEM `file` besides the system's")
		localAPI   = fs.String("local-socket", "", "serve the node's own LocalAPI on this unix socket `path`")
		verbose    = fs.Bool("verbose", false, "log what the node does")
	)
	fs.Var(&tags, "tags", "`tags` to advertise")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *controlURL == "" || *dir == "" {
		return errors.New("want --control and --dir")
	}
	ctx, stop := untilStdinCloses(ctx)
	defer stop()

	// No logs leave the machine, and no gateway is asked for port mappings unless a test is about them.
	envknob.SetNoLogsNoSupport()
	if !*portmap {
		envknob.Setenv("TS_DISABLE_PORTMAPPER", "true")
	}
	if *derpOnly {
		envknob.Setenv("TS_DEBUG_ALWAYS_USE_DERP", "true")
	}
	if *caFile != "" {
		os.Setenv("SSL_CERT_FILE", *caFile)
	}
	if err := os.MkdirAll(*dir, 0o700); err != nil {
		return err
	}
	abs, err := filepath.Abs(*dir)
	if err != nil {
		return err
	}
	logf := func(string, ...any) {}
	if *verbose {
		logf = log.Printf
	}
	p := &peer{srv: &tsnet.Server{
		Dir: abs, Hostname: *hostname, ControlURL: *controlURL, AuthKey: *authKey, Ephemeral: *ephemeral,
		Port: uint16(*port), AdvertiseTags: tags, UserLogf: logf, Logf: logf,
	}}
	p.traffic = newTraffic(p.srv)
	if err := p.srv.Start(); err != nil {
		return err
	}
	defer closeWithin(3*time.Second, func() { p.srv.Close() })
	if p.lc, err = p.srv.LocalClient(); err != nil {
		return err
	}

	if *localAPI != "" {
		if err := serveLocalAPI(ctx, p.lc, *localAPI); err != nil {
			return err
		}
	}

	var st *ipnstate.Status
	if *wait > 0 {
		upCtx, cancel := context.WithTimeout(ctx, *wait)
		st, err = p.srv.Up(upCtx)
		cancel()
		if err != nil {
			return err
		}
	} else if st, err = p.lc.StatusWithoutPeers(ctx); err != nil {
		return err
	}

	a, err := newAdmin(*adminAt, stop)
	if err != nil {
		return err
	}
	p.routes(a)
	p.traffic.routes(a)
	p.lockRoutes(a)
	a.serve(ctx)
	err = printJSON(map[string]any{
		"ready": true, "admin": a.addr, "state": st.BackendState, "ips": nonNil(st.TailscaleIPs),
		"nodeKey": st.Self.PublicKey, "authURL": st.AuthURL,
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// serveLocalAPI joins connections to a unix socket with the node's in-memory
// LocalAPI. It is what our own LocalAPI is compared with.
func serveLocalAPI(ctx context.Context, lc *local.Client, path string) error {
	os.Remove(path)
	ln, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { ln.Close() })
	go func() {
		for {
			outside, err := ln.Accept()
			if err != nil {
				return
			}
			inside, err := lc.Dial(ctx, "tcp", "local-tailscaled.sock:80")
			if err != nil {
				outside.Close()
				continue
			}
			go func() { io.Copy(inside, outside); inside.Close() }()
			go func() { io.Copy(outside, inside); outside.Close() }()
		}
	}()
	return nil
}

func (p *peer) routes(a *admin) {
	handle(a, "GET /status", func(ctx context.Context, _ done) (*ipnstate.Status, error) { return p.lc.Status(ctx) })
	handle(a, "GET /ip", func(context.Context, done) (any, error) {
		ip4, ip6 := p.srv.TailscaleIPs()
		return map[string]netip.Addr{"ip4": ip4, "ip6": ip6}, nil
	})
	handle(a, "POST /await", func(ctx context.Context, in struct {
		State     string `json:"state"` // default Running
		TimeoutMs int    `json:"timeoutMs"`
	}) (*ipnstate.Status, error) {
		return p.await(ctx, in.State, timeout(in.TimeoutMs, 30*time.Second))
	})
	handle(a, "POST /await-peer", func(ctx context.Context, in struct {
		IP        netip.Addr `json:"ip"`
		TimeoutMs int        `json:"timeoutMs"`
	}) (*ipnstate.PeerStatus, error) {
		return p.awaitPeer(ctx, in.IP, timeout(in.TimeoutMs, 20*time.Second))
	})
	handle(a, "GET /prefs", func(ctx context.Context, _ done) (*ipn.Prefs, error) { return p.lc.GetPrefs(ctx) })
	handle(a, "POST /prefs", func(ctx context.Context, in ipn.MaskedPrefs) (*ipn.Prefs, error) {
		return p.lc.EditPrefs(ctx, &in)
	})
	handle(a, "POST /connected", func(ctx context.Context, in struct{ Connected bool }) (*ipn.Prefs, error) {
		return p.lc.EditPrefs(ctx, &ipn.MaskedPrefs{
			Prefs: ipn.Prefs{WantRunning: in.Connected}, WantRunningSet: true,
		})
	})
	handle(a, "POST /logout", func(ctx context.Context, _ done) (done, error) { return done{}, p.lc.Logout(ctx) })
	handle(a, "POST /login", func(ctx context.Context, _ done) (done, error) {
		return done{}, p.lc.StartLoginInteractive(ctx)
	})
	handle(a, "POST /whois", func(ctx context.Context, in struct{ Addr string }) (*apitype.WhoIsResponse, error) {
		return p.lc.WhoIs(ctx, in.Addr)
	})
	handle(a, "GET /derpmap", func(ctx context.Context, _ done) (*tailcfg.DERPMap, error) {
		return p.lc.CurrentDERPMap(ctx)
	})
	handle(a, "GET /netcheck", func(ctx context.Context, _ done) (*netcheck.Report, error) {
		rep := p.srv.Sys().MagicSock.Get().GetLastNetcheckReport(ctx)
		if rep == nil {
			return nil, notFound("no netcheck report yet")
		}
		return rep, nil
	})
	handle(a, "GET /metrics", func(ctx context.Context, _ done) (string, error) {
		b, err := p.lc.UserMetrics(ctx)
		return string(b), err
	})
	// rebind, restun, rotate-disco-key, break-derp-conns, break-tcp-conns,
	// pick-new-derp, force-prefer-derp, force-netmap-update, clear-netmap-cache.
	handle(a, "POST /debug", func(ctx context.Context, in struct {
		Action string          `json:"action"`
		Body   json.RawMessage `json:"body"`
	}) (done, error) {
		if len(in.Body) > 0 {
			return done{}, p.lc.DebugActionBody(ctx, in.Action, bytesReader(in.Body))
		}
		return done{}, p.lc.DebugAction(ctx, in.Action)
	})
	handle(a, "POST /ping", func(ctx context.Context, in struct {
		IP        netip.Addr `json:"ip"`
		Type      string     `json:"type"` // disco, TSMP, ICMP, peerapi; default disco
		Size      int        `json:"size"`
		TimeoutMs int        `json:"timeoutMs"`
	}) (*ipnstate.PingResult, error) {
		if in.Type == "" {
			in.Type = string(tailcfg.PingDisco)
		}
		ctx, cancel := context.WithTimeout(ctx, timeout(in.TimeoutMs, 5*time.Second))
		defer cancel()
		return p.lc.PingWithOpts(ctx, in.IP, tailcfg.PingType(in.Type), local.PingOpts{Size: in.Size})
	})
	handle(a, "POST /fetch", func(ctx context.Context, in struct {
		URL       string `json:"url"`
		TimeoutMs int    `json:"timeoutMs"`
	}) (any, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout(in.TimeoutMs, 10*time.Second))
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, in.URL, nil)
		if err != nil {
			return nil, err
		}
		res, err := p.srv.HTTPClient().Do(req)
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			return nil, err
		}
		return map[string]any{"status": res.StatusCode, "body": string(body)}, nil
	})
}

// await polls until the backend is in the wanted state.
func (p *peer) await(ctx context.Context, want string, d time.Duration) (*ipnstate.Status, error) {
	if want == "" {
		want = ipn.Running.String()
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	seen := "nothing"
	for {
		st, err := p.lc.Status(ctx)
		if err == nil && st.BackendState == want {
			return st, nil
		}
		if err == nil {
			seen = st.BackendState
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the node is %s after %v, want %s", seen, d, want)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// awaitPeer polls until the netmap has a peer with the address.
func (p *peer) awaitPeer(ctx context.Context, ip netip.Addr, d time.Duration) (*ipnstate.PeerStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for {
		if st, err := p.lc.Status(ctx); err == nil {
			for _, ps := range st.Peer {
				for _, have := range ps.TailscaleIPs {
					if have == ip {
						return ps, nil
					}
				}
			}
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("no peer has %v after %v", ip, d)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
