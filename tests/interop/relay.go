package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"tailscale.com/derp/derpserver"
	"tailscale.com/net/stun"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

// relayOpts says where a relay serves. An empty address leaves that family out.
type relayOpts struct {
	derp, derp6 string // "ip:port"
	stun, stun6 string
	region      int
	code        string
	pin         bool // CertName sha256-raw instead of InsecureForTests
	metaCert    bool // add the DERP meta certificate, which lets clients skip a round trip
	verbose     bool
}

func (o *relayOpts) register(fs *flag.FlagSet) {
	fs.StringVar(&o.derp, "derp", "127.0.0.1:0", "IPv4 `addr:port` of the DERP relay (TLS)")
	fs.StringVar(&o.derp6, "derp6", "", "IPv6 `addr:port` of the DERP relay; port 0 takes --derp's")
	fs.StringVar(&o.stun, "stun", "127.0.0.1:0", "IPv4 `addr:port` of the STUN responder")
	fs.StringVar(&o.stun6, "stun6", "", "IPv6 `addr:port` of the STUN responder; port 0 takes --stun's")
	fs.IntVar(&o.region, "region", 1, "DERP region ID")
	fs.StringVar(&o.code, "region-code", "lab", "DERP region code")
	fs.BoolVar(&o.pin, "derp-pin", false, "announce the certificate by its SHA-256 (CertName) instead of InsecureForTests")
	fs.BoolVar(&o.metaCert, "derp-meta-cert", true, "send the DERP meta certificate after the leaf")
}

// relay is Tailscale's DERP server over TLS with a certificate made at start,
// and a STUN responder, on addresses that do not change while it lives.
type relay struct {
	derp *derpserver.Server
	gate *gate
	stun []*stunResponder
	opts relayOpts
	leaf []byte // DER
}

func newRelay(o relayOpts) (*relay, error) {
	logf := func(string, ...any) {}
	if o.verbose {
		logf = log.Printf
	}
	r := &relay{derp: derpserver.New(key.NewNode(), logf), opts: o}
	var addrs []string
	var ips []net.IP
	for _, a := range []string{o.derp, o.derp6} {
		if a == "" {
			continue
		}
		host, _, err := net.SplitHostPort(a)
		if err != nil {
			return nil, fmt.Errorf("bad DERP address %q: %w", a, err)
		}
		ip := net.ParseIP(host)
		if ip == nil {
			return nil, fmt.Errorf("bad DERP address %q: want an IP address", a)
		}
		addrs, ips = append(addrs, a), append(ips, ip)
	}
	cert, err := selfSigned(ips)
	if err != nil {
		return nil, err
	}
	r.leaf = cert.Certificate[0]
	conf := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}}
	if o.metaCert {
		conf.Certificates[0].Certificate = append(conf.Certificates[0].Certificate, r.derp.MetaCert())
	}

	mux := http.NewServeMux()
	mux.Handle("/derp", derpserver.AddWebSocketSupport(r.derp, derpserver.Handler(r.derp)))
	mux.HandleFunc("/derp/probe", derpserver.ProbeHandler)
	mux.HandleFunc("/derp/latency-check", derpserver.ProbeHandler)
	mux.HandleFunc("/generate_204", derpserver.ServeNoContent)
	r.gate = newGate(mux, func(ln net.Listener) net.Listener { return tls.NewListener(ln, conf) }, addrs...)
	if err := r.gate.open(); err != nil {
		return nil, err
	}

	port := "0"
	for _, a := range []string{o.stun, o.stun6} {
		if a == "" {
			continue
		}
		host, p, err := net.SplitHostPort(a)
		if err != nil {
			return nil, fmt.Errorf("bad STUN address %q: %w", a, err)
		}
		if p == "0" {
			p = port
		}
		s, err := newSTUNResponder(net.JoinHostPort(host, p))
		if err != nil {
			return nil, err
		}
		port = fmt.Sprint(s.addr().Port())
		r.stun = append(r.stun, s)
	}
	return r, nil
}

func (r *relay) close() {
	r.gate.close()
	r.derp.Close()
	for _, s := range r.stun {
		s.pc.Close()
	}
}

// regionInfo is the DERPMap entry of this relay.
func (r *relay) regionInfo() *tailcfg.DERPRegion {
	n := &tailcfg.DERPNode{Name: fmt.Sprintf("%da", r.opts.region), RegionID: r.opts.region, IPv4: "none", IPv6: "none"}
	for _, a := range r.gate.state().Addrs {
		ap := netip.MustParseAddrPort(a)
		n.DERPPort = int(ap.Port())
		if n.HostName == "" {
			n.HostName = ap.Addr().String()
		}
		if ap.Addr().Is4() {
			n.IPv4 = ap.Addr().String()
		} else {
			n.IPv6 = ap.Addr().String()
		}
	}
	n.STUNPort = -1
	for _, s := range r.stun {
		n.STUNPort = int(s.addr().Port())
	}
	if r.opts.pin {
		n.CertName = "sha256-raw:" + r.certHash()
	} else {
		n.InsecureForTests = true
	}
	return &tailcfg.DERPRegion{
		RegionID: r.opts.region, RegionCode: r.opts.code, RegionName: r.opts.code, Nodes: []*tailcfg.DERPNode{n},
	}
}

func (r *relay) certHash() string {
	h := sha256.Sum256(r.leaf)
	return hex.EncodeToString(h[:])
}

type stunState struct {
	Addr     string `json:"addr"`
	Enabled  bool   `json:"enabled"`
	Requests int64  `json:"requests"`
	Others   int64  `json:"others"` // datagrams that are no binding request of Tailscale's form
}

type relayState struct {
	gateState
	PublicKey key.NodePublic  `json:"publicKey"`
	CertHash  string          `json:"certSha256"`
	Stun      []stunState     `json:"stun"`
	Counters  json.RawMessage `json:"counters"` // derpserver's expvars
}

func (r *relay) state() relayState {
	st := relayState{
		gateState: r.gate.state(),
		PublicKey: r.derp.PublicKey(),
		CertHash:  r.certHash(),
		Counters:  json.RawMessage(r.derp.ExpVar(false).String()),
	}
	for _, s := range r.stun {
		st.Stun = append(st.Stun, stunState{s.addr().String(), s.enabled.Load(), s.requests.Load(), s.others.Load()})
	}
	return st
}

// routes adds GET /derp, POST /derp {"do": "stop"|"start"|"cut"} and POST /stun.
func (r *relay) routes(a *admin) {
	handle(a, "GET /derp", func(context.Context, done) (relayState, error) { return r.state(), nil })
	handle(a, "POST /derp", func(_ context.Context, in gateOrder) (relayState, error) {
		err := in.apply(r.gate)
		return r.state(), err
	})
	handle(a, "POST /stun", func(_ context.Context, in struct{ Enabled bool }) (relayState, error) {
		for _, s := range r.stun {
			s.enabled.Store(in.Enabled)
		}
		return r.state(), nil
	})
}

// gateOrder stops, starts, or cuts the connections of a gate.
type gateOrder struct {
	Do string `json:"do"`
}

func (o gateOrder) apply(g *gate) error {
	switch o.Do {
	case "stop":
		g.close()
	case "start":
		return g.open()
	case "cut":
		g.cut()
	default:
		return fmt.Errorf(`unknown order %q, want "stop", "start" or "cut"`, o.Do)
	}
	return nil
}

// stunResponder answers Tailscale's binding requests on one UDP socket. While
// disabled it reads and says nothing.
type stunResponder struct {
	pc               *net.UDPConn
	enabled          atomic.Bool
	requests, others atomic.Int64
}

func newSTUNResponder(addr string) (*stunResponder, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	network := "udp4"
	if ap.Addr().Is6() {
		network = "udp6"
	}
	var pc *net.UDPConn
	for try := 0; ; try++ {
		if pc, err = net.ListenUDP(network, net.UDPAddrFromAddrPort(ap)); err == nil {
			break
		}
		if try == 20 {
			return nil, err
		}
		time.Sleep(100 * time.Millisecond)
	}
	s := &stunResponder{pc: pc}
	s.enabled.Store(true)
	go s.serve()
	return s, nil
}

func (s *stunResponder) addr() netip.AddrPort { return s.pc.LocalAddr().(*net.UDPAddr).AddrPort() }

func (s *stunResponder) serve() {
	buf := make([]byte, 1500)
	for {
		n, from, err := s.pc.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		tx, err := stun.ParseBindingRequest(buf[:n])
		if err != nil {
			s.others.Add(1)
			continue
		}
		s.requests.Add(1)
		if s.enabled.Load() {
			from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
			s.pc.WriteToUDPAddrPort(stun.Response(tx, from), from)
		}
	}
}

// selfSigned makes a P-256 leaf that names ips, valid for a day.
func selfSigned(ips []net.IP) (tls.Certificate, error) {
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	tmpl := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: ips[0].String()},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IPAddresses:           ips,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, priv.Public(), priv)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: priv}, nil
}

func runRelay(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("derp", flag.ContinueOnError)
	var o relayOpts
	o.register(fs)
	fs.BoolVar(&o.verbose, "verbose", false, "log what the relay does")
	adminAt := fs.String("admin", "", "admin `address`: unix:/path or tcp:host:port")
	if err := fs.Parse(args); err != nil {
		return err
	}
	ctx, stop := untilStdinCloses(ctx)
	defer stop()
	r, err := newRelay(o)
	if err != nil {
		return err
	}
	defer r.close()
	a, err := newAdmin(*adminAt, stop)
	if err != nil {
		return err
	}
	r.routes(a)
	a.serve(ctx)
	if err := printJSON(map[string]any{"ready": true, "admin": a.addr, "region": r.regionInfo(), "derp": r.state()}); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
