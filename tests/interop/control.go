package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/key"
	"tailscale.com/types/opt"
)

// control is a testcontrol.Server with a relay beside it.
//
// Its gate can be stopped and started: that is a control server that is killed
// and comes back with the same keys and nodes.
type control struct {
	srv   *testcontrol.Server
	relay *relay
	gate  *gate

	mu         sync.Mutex
	limit      rateLimit
	held       chan struct{} // closed when map requests may go on; nil when none are held
	requests   []mapRequestSeen
	registered []registerRequestSeen
	pings      []pingSeen
}

// rateLimit rejects the next Count register requests with 429.
type rateLimit struct {
	Count      int    `json:"count"`
	RetryAfter string `json:"retryAfter"` // header value, "" for none
	Message    string `json:"message"`
}

// mapRequestSeen is a map request as it arrived, newest last in the journal.
type mapRequestSeen struct {
	At      time.Time           `json:"at"`
	Request *tailcfg.MapRequest `json:"request"`
}

// registerRequestSeen is a register request as testcontrol logged it.
type registerRequestSeen struct {
	At      time.Time                `json:"at"`
	Request *tailcfg.RegisterRequest `json:"request"`
}

// pingSeen is a request to /lab/ping/…, the place a test points PingRequest.URL at.
type pingSeen struct {
	At     time.Time `json:"at"`
	Method string    `json:"method"`
	Path   string    `json:"path"`
	Body   string    `json:"body"`
}

const journalMax = 2000

func runControl(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("control", flag.ContinueOnError)
	var (
		ro          relayOpts
		defaultCaps listFlag
		listen      = fs.String("listen", "127.0.0.1:0", "`addr:port` to serve on, plain HTTP")
		listen6     = fs.String("listen6", "", "a second `addr:port`; port 0 takes --listen's")
		publicURL   = fs.String("public-url", "", "base `URL` told to nodes (default http://<listen>)")
		adminAt     = fs.String("admin", "", "admin `address`: unix:/path or tcp:host:port")
		authKey     = fs.String("authkey", "", "the only auth `key` accepted; empty accepts any and none")
		requireAuth = fs.Bool("require-auth", false, "answer registrations with an auth URL")
		machineAuth = fs.Bool("require-machine-auth", false, "new nodes wait for device approval")
		magicDNS    = fs.String("magic-dns-domain", "", "MagicDNS `domain`, without a final dot")
		allOnline   = fs.Bool("all-online", true, "mark every peer Online")
		sameUser    = fs.Bool("same-user", false, "all nodes belong to one user")
		peerRelay   = fs.Bool("peer-relay", false, "grant the peer relay capabilities")
		tagOwners   = fs.String("tag-owners", "", "`JSON` object of tag to owning tags")
		collect     = fs.Bool("collect-services", true, "ask nodes for their services")
		verbose     = fs.Bool("verbose", false, "log what the servers do")
	)
	ro.register(fs)
	fs.Var(&defaultCaps, "default-caps", "node `capabilities` of new nodes, instead of testcontrol's own")
	if err := fs.Parse(args); err != nil {
		return err
	}
	ro.verbose = *verbose
	ctx, stop := untilStdinCloses(ctx)
	defer stop()

	r, err := newRelay(ro)
	if err != nil {
		return err
	}
	defer r.close()

	c := &control{relay: r}
	c.srv = &testcontrol.Server{
		Logf:                   func(string, ...any) {},
		DERPMap:                &tailcfg.DERPMap{OmitDefaultRegions: true, Regions: map[int]*tailcfg.DERPRegion{ro.region: r.regionInfo()}},
		RequireAuth:            *requireAuth,
		RequireAuthKey:         *authKey,
		RequireMachineAuth:     *machineAuth,
		Verbose:                true, // it is where logTap reads register requests
		MagicDNSDomain:         *magicDNS,
		AllNodesSameUser:       *sameUser,
		AllOnline:              *allOnline,
		PeerRelayGrants:        *peerRelay,
		CollectServices:        opt.NewBool(*collect),
		HoldMapRequest:         c.onMapRequest,
		MaybeRateLimitRegister: c.onRegister,
	}
	log.SetOutput(logTap{c, *verbose})
	if *verbose {
		c.srv.Logf = log.Printf
	}
	if *tagOwners != "" {
		if err := json.Unmarshal([]byte(*tagOwners), &c.srv.TagOwners); err != nil {
			return fmt.Errorf("bad --tag-owners: %w", err)
		}
	}
	if len(defaultCaps) > 0 {
		caps := tailcfg.NodeCapMap{}
		for _, name := range defaultCaps {
			caps[tailcfg.NodeCapability(name)] = []tailcfg.RawMessage{}
		}
		c.srv.DefaultNodeCapabilities = &caps
	}
	if *magicDNS != "" {
		c.srv.DNSConfig = &tailcfg.DNSConfig{Proxied: true, Domains: []string{*magicDNS}}
	}

	addrs := []string{*listen}
	if *listen6 != "" {
		addrs = append(addrs, *listen6)
	}
	// testcontrol makes its keys when it is asked for them; a node that knows a
	// server of this address may never ask.
	c.srv.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/key?v=100", nil))
	c.gate = newGate(c.handler(), nil, addrs...)
	if err := c.gate.open(); err != nil {
		return err
	}
	defer c.gate.close()
	c.srv.ExplicitBaseURL = *publicURL
	if c.srv.ExplicitBaseURL == "" {
		c.srv.ExplicitBaseURL = "http://" + c.gate.state().Addrs[0]
	}

	a, err := newAdmin(*adminAt, stop)
	if err != nil {
		return err
	}
	c.routes(a)
	r.routes(a)
	a.serve(ctx)
	err = printJSON(map[string]any{
		"ready": true, "admin": a.addr, "url": c.srv.BaseURL(), "control": c.gate.state(),
		"derpMap": c.srv.DERPMap, "derp": r.state(),
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	c.hold(false)
	return nil
}

// handler lets through what testcontrol serves, keeps a journal of pings, and
// answers 404 to the rest: testcontrol itself panics, and so ends the process,
// at a path it does not know.
func (c *control) handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case path == "/key", path == "/ts2021", path == "/generate_204":
			c.srv.ServeHTTP(w, r)
		case strings.HasPrefix(path, "/lab/ping/"):
			c.notePing(r)
			w.WriteHeader(http.StatusOK)
		default:
			http.NotFound(w, r)
		}
	})
}

func (c *control) notePing(r *http.Request) {
	body := make([]byte, 64<<10)
	n := 0
	for n < len(body) {
		m, err := r.Body.Read(body[n:])
		n += m
		if err != nil {
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pings = journal(c.pings, pingSeen{time.Now(), r.Method, r.URL.Path, string(body[:n])})
}

// logTap reads register requests out of testcontrol's log: it has no hook that
// shows them. The log goes on to stderr when it is wanted.
type logTap struct {
	c       *control
	verbose bool
}

func (t logTap) Write(p []byte) (int, error) {
	if _, text, ok := bytes.Cut(p, []byte("Got tailcfg.RegisterRequest: ")); ok {
		req := new(tailcfg.RegisterRequest)
		if json.Unmarshal(text, req) == nil {
			t.c.mu.Lock()
			t.c.registered = journal(t.c.registered, registerRequestSeen{time.Now(), req})
			t.c.mu.Unlock()
		}
		if !t.verbose {
			return len(p), nil
		}
	}
	return os.Stderr.Write(p)
}

func journal[T any](j []T, v T) []T {
	if len(j) >= journalMax {
		j = j[1:]
	}
	return append(j, v)
}

// onMapRequest is testcontrol's hook at the start of each map request.
func (c *control) onMapRequest(req *tailcfg.MapRequest) (done func()) {
	seen := *req
	seen.Endpoints = slices.Clone(req.Endpoints) // testcontrol filters it in place
	c.mu.Lock()
	c.requests = journal(c.requests, mapRequestSeen{time.Now(), &seen})
	held := c.held
	c.mu.Unlock()
	if held != nil {
		<-held
	}
	return nil
}

// onRegister is testcontrol's hook at the start of each register request.
func (c *control) onRegister() (reject bool, retryAfter, msg string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.limit.Count <= 0 {
		return false, "", ""
	}
	c.limit.Count--
	return true, c.limit.RetryAfter, c.limit.Message
}

// hold makes map requests wait, or lets those that wait go on.
func (c *control) hold(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if on && c.held == nil {
		c.held = make(chan struct{})
	} else if !on && c.held != nil {
		close(c.held)
		c.held = nil
	}
}

// push sends every streaming node a fresh map response. It is how a knob that
// testcontrol reads but does not announce takes effect.
func (c *control) push() {
	if c.srv.DNSConfig != nil {
		c.srv.AddDNSRecords()
		return
	}
	if nodes := c.srv.AllNodes(); len(nodes) > 0 {
		c.srv.UpdateNode(nodes[0])
	}
}

// nodeRef names a node by key, or by host name as it registered.
type nodeRef struct {
	Node string `json:"node"`
}

func (c *control) find(ref string) (*tailcfg.Node, error) {
	if strings.HasPrefix(ref, "nodekey:") {
		var k key.NodePublic
		if err := k.UnmarshalText([]byte(ref)); err != nil {
			return nil, err
		}
		if n := c.srv.Node(k); n != nil {
			return n, nil
		}
		return nil, notFound("no node %s", ref)
	}
	var found *tailcfg.Node
	for _, n := range c.srv.AllNodes() {
		if n.Hostinfo.Valid() && n.Hostinfo.Hostname() == ref {
			if found != nil {
				return nil, fmt.Errorf("two nodes have the host name %q: give the node key", ref)
			}
			found = n
		}
	}
	if found == nil {
		return nil, notFound("no node with host name %q", ref)
	}
	return found, nil
}

var errNotPolling = errors.New("the node has no streaming map poll open")
