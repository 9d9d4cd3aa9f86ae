package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"tailscale.com/client/local"
	"tailscale.com/ipn"
	"tailscale.com/ipn/ipnstate"
	"tailscale.com/tailcfg"
)

const localUsage = `lab local --socket PATH <verb>
  status | status-without-peers | get-prefs | derpmap | metrics | login-interactive | logout
  edit-prefs JSON      ipn.MaskedPrefs
  check-prefs JSON     ipn.Prefs
  start JSON           ipn.Options
  ping IP [TYPE]       disco, TSMP, ICMP or peerapi
  whois ADDR           an IP, an IP:port or a node key
  watch N [MASK]       the first N notifications; MASK is a number, default InitialState|InitialPrefs|InitialNetMap
  all                  a walk through them on a Running node, one line a step; --logout ends with a logout`

const initialMask = ipn.NotifyInitialState | ipn.NotifyInitialPrefs | ipn.NotifyInitialNetMap

func runLocal(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("local", flag.ContinueOnError)
	fs.Usage = func() { fmt.Fprintln(fs.Output(), localUsage); fs.PrintDefaults() }
	socket := fs.String("socket", "", "LocalAPI socket `path`")
	limit := fs.Duration("timeout", 20*time.Second, "give up after this `long`")
	logout := fs.Bool("logout", false, "with all: log out at the end")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *socket == "" || fs.NArg() == 0 {
		fs.Usage()
		return errors.New("want --socket and a verb")
	}
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	lc := &local.Client{Socket: *socket, UseSocketOnly: true}
	if fs.Arg(0) == "all" {
		return walkLocal(ctx, lc, *logout)
	}
	v, err := localVerb(ctx, lc, fs.Args())
	if err != nil {
		return err
	}
	return printJSON(v)
}

func localVerb(ctx context.Context, lc *local.Client, args []string) (any, error) {
	arg := func(i int) string {
		if i < len(args) {
			return args[i]
		}
		return ""
	}
	switch args[0] {
	case "status":
		return lc.Status(ctx)
	case "status-without-peers":
		return lc.StatusWithoutPeers(ctx)
	case "get-prefs":
		return lc.GetPrefs(ctx)
	case "derpmap":
		return lc.CurrentDERPMap(ctx)
	case "metrics":
		b, err := lc.UserMetrics(ctx)
		return string(b), err
	case "login-interactive":
		return done{}, lc.StartLoginInteractive(ctx)
	case "logout":
		return done{}, lc.Logout(ctx)
	case "edit-prefs":
		var mp ipn.MaskedPrefs
		if err := json.Unmarshal([]byte(arg(1)), &mp); err != nil {
			return nil, err
		}
		return lc.EditPrefs(ctx, &mp)
	case "check-prefs":
		var p ipn.Prefs
		if err := json.Unmarshal([]byte(arg(1)), &p); err != nil {
			return nil, err
		}
		return done{}, lc.CheckPrefs(ctx, &p)
	case "start":
		var o ipn.Options
		if err := json.Unmarshal([]byte(arg(1)), &o); err != nil {
			return nil, err
		}
		return done{}, lc.Start(ctx, o)
	case "ping":
		ip, err := netip.ParseAddr(arg(1))
		if err != nil {
			return nil, err
		}
		kind := tailcfg.PingDisco
		if arg(2) != "" {
			kind = tailcfg.PingType(arg(2))
		}
		return lc.Ping(ctx, ip, kind)
	case "whois":
		return lc.WhoIs(ctx, arg(1))
	case "watch":
		n, err := strconv.Atoi(arg(1))
		if err != nil {
			return nil, err
		}
		mask := initialMask
		if arg(2) != "" {
			m, err := strconv.ParseUint(arg(2), 0, 64)
			if err != nil {
				return nil, err
			}
			mask = ipn.NotifyWatchOpt(m)
		}
		return watch(ctx, lc, mask, n)
	}
	return nil, fmt.Errorf("unknown verb %q", args[0])
}

// watch returns the first n notifications.
func watch(ctx context.Context, lc *local.Client, mask ipn.NotifyWatchOpt, n int) ([]ipn.Notify, error) {
	w, err := lc.WatchIPNBus(ctx, mask)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	var seen []ipn.Notify
	for len(seen) < n {
		m, err := w.Next()
		if err != nil {
			return seen, fmt.Errorf("after %d notifications: %w", len(seen), err)
		}
		seen = append(seen, m)
	}
	return seen, nil
}

// awaitState acts and reads the bus until it announces a state.
func awaitState(ctx context.Context, lc *local.Client, want ipn.State, act func() error) ([]string, error) {
	w, err := lc.WatchIPNBus(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if err := act(); err != nil {
		return nil, err
	}
	var states []string
	for {
		m, err := w.Next()
		if err != nil {
			return states, fmt.Errorf("saw states %v, want %v: %w", states, want, err)
		}
		if m.State != nil {
			states = append(states, m.State.String())
			if *m.State == want {
				return states, nil
			}
		}
	}
}

type localStep struct {
	Step  string `json:"step"`
	OK    bool   `json:"ok"`
	Ms    int64  `json:"ms"`
	Saw   any    `json:"saw,omitempty"`
	Error string `json:"error,omitempty"`
}

// walkLocal does on a Running node what frontends do all day, and checks what
// they rely on. It leaves the prefs as it found them.
func walkLocal(ctx context.Context, lc *local.Client, logout bool) error {
	failed := 0
	step := func(name string, f func() (any, error)) {
		start := time.Now()
		saw, err := f()
		s := localStep{Step: name, OK: err == nil, Ms: time.Since(start).Milliseconds(), Saw: saw}
		if err != nil {
			s.Error = err.Error()
			failed++
		}
		printJSON(s)
	}
	var st *ipnstate.Status
	var prefs *ipn.Prefs
	step("Status", func() (_ any, err error) {
		if st, err = lc.Status(ctx); err != nil {
			return nil, err
		}
		if st.BackendState != ipn.Running.String() || st.Self == nil || len(st.TailscaleIPs) == 0 {
			return st, errors.New("not Running, or no Self, or no TailscaleIPs")
		}
		return map[string]any{"self": st.Self.DNSName, "ips": st.TailscaleIPs, "peers": len(st.Peer)}, nil
	})
	if failed > 0 {
		return errors.New("the node is not Running")
	}
	step("StatusWithoutPeers", func() (any, error) {
		s, err := lc.StatusWithoutPeers(ctx)
		if err == nil && len(s.Peer) > 0 {
			err = errors.New("it has peers")
		}
		return nil, err
	})
	step("GetPrefs", func() (_ any, err error) {
		if prefs, err = lc.GetPrefs(ctx); err == nil && !prefs.WantRunning {
			err = errors.New("WantRunning is false on a Running node")
		}
		return prefs, err
	})
	if prefs == nil {
		return errors.New("no prefs")
	}
	setHostname := func(name string) (*ipn.Prefs, error) {
		return lc.EditPrefs(ctx, &ipn.MaskedPrefs{Prefs: ipn.Prefs{Hostname: name}, HostnameSet: true})
	}
	step("EditPrefs", func() (any, error) {
		p, err := setHostname("lab-renamed")
		if err != nil {
			return nil, err
		}
		if p.Hostname != "lab-renamed" || p.ControlURL != prefs.ControlURL || p.WantRunning != prefs.WantRunning {
			return p, errors.New("the answer is not the whole prefs with the one change")
		}
		if got, err := lc.GetPrefs(ctx); err != nil || got.Hostname != "lab-renamed" {
			return got, fmt.Errorf("the change did not stay: %v", err)
		}
		_, err = setHostname(prefs.Hostname)
		return nil, err
	})
	step("CheckPrefs", func() (any, error) {
		if err := lc.CheckPrefs(ctx, prefs); err != nil {
			return nil, err
		}
		bad := prefs.Clone()
		bad.Hostname = string(make([]byte, 300))
		if err := lc.CheckPrefs(ctx, bad); err == nil {
			return "a bad host name passed (as it does in tailscaled)", nil
		}
		return nil, nil
	})
	step("WatchIPNBus initial", func() (any, error) {
		seen, err := watch(ctx, lc, initialMask, 1)
		if err != nil {
			return nil, err
		}
		n := seen[0]
		switch {
		case n.State == nil || *n.State != ipn.Running:
			return n, errors.New("the first notification has no State Running")
		case n.Prefs == nil || !n.Prefs.Valid():
			return n, errors.New("the first notification has no Prefs")
		case n.NetMap == nil || !n.NetMap.SelfNode.Valid():
			return n, errors.New("the first notification has no NetMap with a SelfNode")
		case n.SessionID == "":
			return n, errors.New("the first notification has no SessionID")
		}
		return map[string]any{"version": n.Version, "peers": len(n.NetMap.Peers)}, nil
	})
	step("WatchIPNBus sees a prefs edit", func() (any, error) {
		w, err := lc.WatchIPNBus(ctx, 0)
		if err != nil {
			return nil, err
		}
		defer w.Close()
		if _, err := setHostname("lab-again"); err != nil {
			return nil, err
		}
		// Health and others may come in between.
		for n := 1; ; n++ {
			m, err := w.Next()
			if err != nil {
				return nil, fmt.Errorf("no Prefs with the new host name in %d notifications: %w", n, err)
			}
			if m.Prefs != nil && m.Prefs.Valid() && m.Prefs.Hostname() == "lab-again" {
				_, err := setHostname(prefs.Hostname)
				return nil, err
			}
		}
	})
	step("CurrentDERPMap", func() (any, error) {
		dm, err := lc.CurrentDERPMap(ctx)
		if err == nil && (dm == nil || len(dm.Regions) == 0) {
			err = errors.New("it has no regions")
		}
		return dm, err
	})
	step("WhoIs self", func() (any, error) {
		w, err := lc.WhoIs(ctx, st.TailscaleIPs[0].String())
		if err == nil && (w.Node == nil || w.Node.Key != st.Self.PublicKey || w.UserProfile == nil) {
			err = errors.New("no Node with our key, or no UserProfile")
		}
		return w, err
	})
	step("WhoIs nobody", func() (any, error) {
		_, err := lc.WhoIs(ctx, "100.127.255.254")
		if !errors.Is(err, local.ErrPeerNotFound) {
			return nil, fmt.Errorf("want ErrPeerNotFound, got %v", err)
		}
		return nil, nil
	})
	for _, p := range st.Peer {
		if !p.Online || len(p.TailscaleIPs) == 0 {
			continue
		}
		ip := p.TailscaleIPs[0]
		for _, kind := range []tailcfg.PingType{tailcfg.PingDisco, tailcfg.PingTSMP, tailcfg.PingICMP} {
			step(fmt.Sprintf("Ping %s %v", kind, ip), func() (any, error) {
				ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
				defer cancel()
				r, err := lc.Ping(ctx, ip, kind)
				if err == nil && r.Err != "" {
					err = errors.New(r.Err)
				}
				return r, err
			})
		}
		step("WhoIs "+p.DNSName, func() (any, error) {
			w, err := lc.WhoIs(ctx, netip.AddrPortFrom(ip, 1).String())
			if err == nil && (w.Node == nil || w.Node.Key != p.PublicKey) {
				err = errors.New("no Node with the peer's key")
			}
			return nil, err
		})
		break
	}
	want := func(on bool) func() error {
		return func() error {
			_, err := lc.EditPrefs(ctx, &ipn.MaskedPrefs{Prefs: ipn.Prefs{WantRunning: on}, WantRunningSet: true})
			return err
		}
	}
	step("down", func() (any, error) { return awaitState(ctx, lc, ipn.Stopped, want(false)) })
	step("up", func() (any, error) { return awaitState(ctx, lc, ipn.Running, want(true)) })
	step("Start keeps it Running", func() (any, error) {
		if err := lc.Start(ctx, ipn.Options{UpdatePrefs: prefs}); err != nil {
			return nil, err
		}
		for {
			s, err := lc.StatusWithoutPeers(ctx)
			if err != nil {
				return nil, err
			}
			if s.BackendState == ipn.Running.String() {
				return nil, nil
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
	if logout {
		step("Logout", func() (any, error) {
			return awaitState(ctx, lc, ipn.NeedsLogin, func() error { return lc.Logout(ctx) })
		})
	}
	if failed > 0 {
		return fmt.Errorf("%d steps failed", failed)
	}
	return nil
}
