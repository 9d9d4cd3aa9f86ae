package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
)

// knobs are the settings of testcontrol that are plain fields; those present in
// the body are set, and every node gets a fresh map response.
type knobs struct {
	AllOnline          *bool                `json:"allOnline"`
	RequireAuth        *bool                `json:"requireAuth"`
	RequireAuthKey     *string              `json:"requireAuthKey"`
	RequireMachineAuth *bool                `json:"requireMachineAuth"`
	DNSConfig          *tailcfg.DNSConfig   `json:"dnsConfig"`
	DERPMap            *tailcfg.DERPMap     `json:"derpMap"`
	DefaultNodeCaps    *tailcfg.NodeCapMap  `json:"defaultNodeCapabilities"`
	PeerRelayGrants    *bool                `json:"peerRelayGrants"`
	TagOwners          *map[string][]string `json:"tagOwners"`
}

func set[T any](dst *T, v *T) {
	if v != nil {
		*dst = *v
	}
}

// routes adds the orders. A "node" in a body is a node key or a host name.
func (c *control) routes(a *admin) {
	s := c.srv

	handle(a, "GET /state", func(context.Context, done) (any, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return map[string]any{
			"control": c.gate.state(), "nodes": s.NumNodes(), "inMapPoll": s.InServeMap(),
			"rateLimit": c.limit, "held": c.held != nil,
		}, nil
	})
	handle(a, "POST /control", func(_ context.Context, in gateOrder) (gateState, error) {
		err := in.apply(c.gate)
		return c.gate.state(), err
	})
	handle(a, "POST /knobs", func(_ context.Context, in knobs) (done, error) {
		set(&s.AllOnline, in.AllOnline)
		set(&s.RequireAuth, in.RequireAuth)
		set(&s.RequireAuthKey, in.RequireAuthKey)
		set(&s.RequireMachineAuth, in.RequireMachineAuth)
		set(&s.PeerRelayGrants, in.PeerRelayGrants)
		set(&s.TagOwners, in.TagOwners)
		if in.DNSConfig != nil {
			s.DNSConfig = in.DNSConfig
		}
		if in.DERPMap != nil {
			s.DERPMap = in.DERPMap
		}
		if in.DefaultNodeCaps != nil {
			s.DefaultNodeCapabilities = in.DefaultNodeCaps
		}
		c.push()
		return done{}, nil
	})
	handle(a, "POST /push", func(context.Context, done) (done, error) { c.push(); return done{}, nil })

	// Nodes.
	handle(a, "GET /nodes", func(context.Context, done) (any, error) { return nonNil(s.AllNodes()), nil })
	handle(a, "POST /node", func(_ context.Context, in nodeRef) (*tailcfg.Node, error) { return c.find(in.Node) })
	handle(a, "POST /node/update", func(_ context.Context, in struct {
		nodeRef
		Fields json.RawMessage `json:"fields"` // a partial tailcfg.Node
	}) (*tailcfg.Node, error) {
		n, err := c.find(in.Node)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(in.Fields, n); err != nil {
			return nil, fmt.Errorf("bad fields: %w", err)
		}
		s.UpdateNode(n)
		return n, nil
	})
	handle(a, "POST /node/expire", func(_ context.Context, in nodeRef) (*tailcfg.Node, error) {
		n, err := c.find(in.Node)
		if err != nil {
			return nil, err
		}
		n.KeyExpiry = time.Now().Add(-time.Minute)
		s.UpdateNode(n)
		return n, nil
	})
	handle(a, "POST /node/await", func(ctx context.Context, in struct {
		nodeRef
		TimeoutMs int `json:"timeoutMs"`
	}) (*tailcfg.Node, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout(in.TimeoutMs, 20*time.Second))
		defer cancel()
		for {
			n, err := c.find(in.Node)
			if err == nil {
				return n, s.AwaitNodeInMapRequest(ctx, n.Key)
			}
			select {
			case <-ctx.Done():
				return nil, err
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
	handle(a, "POST /node/fake", func(_ context.Context, in struct {
		Fields json.RawMessage `json:"fields"`
	}) (*tailcfg.Node, error) {
		before := map[tailcfg.StableNodeID]bool{}
		for _, n := range s.AllNodes() {
			before[n.StableID] = true
		}
		s.AddFakeNode()
		for _, n := range s.AllNodes() {
			if before[n.StableID] {
				continue
			}
			if len(in.Fields) > 0 {
				if err := json.Unmarshal(in.Fields, n); err != nil {
					return nil, fmt.Errorf("bad fields: %w", err)
				}
			}
			s.UpdateNode(n)
			return n, nil
		}
		return nil, errors.New("no new node appeared")
	})
	handle(a, "POST /expire-all", func(_ context.Context, in struct{ Expired bool }) (done, error) {
		s.SetExpireAllNodes(in.Expired)
		return done{}, nil
	})

	// Login.
	handle(a, "POST /auth/complete", func(_ context.Context, in struct{ URL string }) (done, error) {
		if !s.CompleteAuth(in.URL) {
			return done{}, notFound("no login waits at %q", in.URL)
		}
		return done{}, nil
	})
	handle(a, "POST /device/approve", func(_ context.Context, in nodeRef) (done, error) {
		n, err := c.find(in.Node)
		if err != nil {
			return done{}, err
		}
		if !s.CompleteDeviceApproval(s.BaseURL(), s.BaseURL()+"/admin", &n.Key) {
			return done{}, errors.New("testcontrol refused the approval")
		}
		return done{}, nil
	})
	handle(a, "GET /register/requests", func(context.Context, done) (any, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return nonNil(append([]registerRequestSeen(nil), c.registered...)), nil
	})
	handle(a, "POST /rate-limit", func(_ context.Context, in rateLimit) (done, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.limit = in
		return done{}, nil
	})

	// Maps.
	handle(a, "POST /map/raw", func(_ context.Context, in struct {
		nodeRef
		Response *tailcfg.MapResponse `json:"response"`
	}) (done, error) {
		n, err := c.find(in.Node)
		if err != nil {
			return done{}, err
		}
		if in.Response == nil {
			return done{}, errors.New("no response given")
		}
		if !s.AddRawMapResponse(n.Key, in.Response) {
			return done{}, errNotPolling
		}
		return done{}, nil
	})
	handle(a, "POST /map/hold", func(_ context.Context, in struct{ Hold bool }) (done, error) {
		c.hold(in.Hold)
		return done{}, nil
	})
	handle(a, "GET /map/requests", func(context.Context, done) (any, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return nonNil(append([]mapRequestSeen(nil), c.requests...)), nil
	})
	handle(a, "POST /ping", func(_ context.Context, in struct {
		nodeRef
		Request *tailcfg.PingRequest `json:"request"`
	}) (done, error) {
		n, err := c.find(in.Node)
		if err != nil {
			return done{}, err
		}
		if in.Request == nil {
			return done{}, errors.New("no request given")
		}
		if !s.AddPingRequest(n.Key, in.Request) {
			return done{}, errNotPolling
		}
		return done{}, nil
	})
	handle(a, "GET /pings", func(context.Context, done) (any, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return nonNil(append([]pingSeen(nil), c.pings...)), nil
	})
	handle(a, "POST /c2n", c.c2n)

	// What one node sees of another.
	handle(a, "POST /jailed", func(_ context.Context, in struct {
		nodeRef
		Peer   string `json:"peer"` // jailed when it is a peer of node
		Jailed bool   `json:"jailed"`
	}) (done, error) {
		n, p, err := c.pair(in.Node, in.Peer)
		if err == nil {
			s.SetJailed(n.Key, p.Key, in.Jailed)
		}
		return done{}, err
	})
	handle(a, "POST /masquerade", func(_ context.Context, in struct {
		Pairs []struct {
			nodeRef
			Peer string     `json:"peer"`
			As   netip.Addr `json:"as"`
		} `json:"pairs"`
	}) (done, error) {
		var pairs []testcontrol.MasqueradePair
		for _, m := range in.Pairs {
			n, p, err := c.pair(m.Node, m.Peer)
			if err != nil {
				return done{}, err
			}
			pairs = append(pairs, testcontrol.MasqueradePair{Node: n.Key, Peer: p.Key, NodeMasqueradesAs: m.As})
		}
		s.SetMasqueradeAddresses(pairs)
		return done{}, nil
	})
	handle(a, "POST /unsigned-peerapi-only", func(_ context.Context, in struct {
		nodeRef
		Unsigned bool `json:"unsigned"`
	}) (done, error) {
		n, err := c.find(in.Node)
		if err == nil {
			s.SetUnsignedPeerAPIOnly(n.Key, in.Unsigned)
		}
		return done{}, err
	})
	handle(a, "POST /subnet-routes", func(_ context.Context, in struct {
		nodeRef
		Routes []netip.Prefix `json:"routes"`
	}) (done, error) {
		n, err := c.find(in.Node)
		if err == nil {
			s.SetSubnetRoutes(n.Key, in.Routes)
		}
		return done{}, err
	})
	handle(a, "POST /node-caps", func(_ context.Context, in struct {
		nodeRef
		Caps tailcfg.NodeCapMap `json:"caps"`
	}) (done, error) {
		n, err := c.find(in.Node)
		if err == nil {
			s.SetNodeCapMap(n.Key, in.Caps)
		}
		return done{}, err
	})
	handle(a, "POST /app-caps", func(_ context.Context, in struct {
		Caps tailcfg.PeerCapMap `json:"caps"`
	}) (done, error) {
		s.SetGlobalAppCaps(in.Caps)
		return done{}, nil
	})
	handle(a, "POST /dns-records", func(_ context.Context, in struct {
		Records []tailcfg.DNSRecord `json:"records"`
	}) (done, error) {
		s.AddDNSRecords(in.Records...)
		return done{}, nil
	})
	handle(a, "POST /ssh-policy", func(_ context.Context, in struct {
		Policy *tailcfg.SSHPolicy `json:"policy"`
	}) (done, error) {
		s.SetSSHPolicy(in.Policy)
		return done{}, nil
	})
}

func (c *control) pair(a, b string) (*tailcfg.Node, *tailcfg.Node, error) {
	n, err := c.find(a)
	if err != nil {
		return nil, nil, err
	}
	p, err := c.find(b)
	return n, p, err
}

type c2nOrder struct {
	nodeRef
	Method    string `json:"method"` // default GET
	Path      string `json:"path"`   // "/echo"
	Body      string `json:"body"`
	TimeoutMs int    `json:"timeoutMs"`
}

type c2nAnswer struct {
	Status int         `json:"status"`
	Header http.Header `json:"header"`
	Body   string      `json:"body"`
}

// c2n sends a control-to-node request and waits for the node's answer.
func (c *control) c2n(ctx context.Context, in c2nOrder) (*c2nAnswer, error) {
	n, err := c.find(in.Node)
	if err != nil {
		return nil, err
	}
	if in.Method == "" {
		in.Method = http.MethodGet
	}
	ctx, cancel := context.WithTimeout(ctx, timeout(in.TimeoutMs, 10*time.Second))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, in.Method, "http://c2n"+in.Path, strings.NewReader(in.Body))
	if err != nil {
		return nil, err
	}
	// The body must be read before the callback returns: it is the node's own
	// POST, which testcontrol then ends.
	type result struct {
		answer *c2nAnswer
		err    error
	}
	answered := make(chan result, 1)
	err = c.srv.SendC2N(n.Key, req, func(res *http.Response) {
		body, err := io.ReadAll(res.Body)
		answered <- result{&c2nAnswer{res.StatusCode, res.Header, string(body)}, err}
	})
	if err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("no c2n answer: %w", ctx.Err())
	case r := <-answered:
		return r.answer, r.err
	}
}

// timeout is ms milliseconds, or def when ms is 0.
func timeout(ms int, def time.Duration) time.Duration {
	if ms == 0 {
		return def
	}
	return time.Duration(ms) * time.Millisecond
}

// nonNil makes an empty list marshal as [] and not as null.
func nonNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
