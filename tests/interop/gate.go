package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// gate is one HTTP server on fixed addresses that can be shut and opened again
// on the same ports, and whose connections can be cut while it stays open. A
// hijacked connection (Noise, DERP) is counted and cut like any other.
//
//	open --close()--> shut --open()--> open
//	open --cut()----> open
type gate struct {
	handler http.Handler
	wrap    func(net.Listener) net.Listener // TLS, or nil

	mu    sync.Mutex
	addrs []string // "ip:port", the port never 0 after the first open
	lns   []net.Listener
	conns map[net.Conn]struct{}
}

func newGate(handler http.Handler, wrap func(net.Listener) net.Listener, addrs ...string) *gate {
	return &gate{handler: handler, wrap: wrap, addrs: addrs, conns: make(map[net.Conn]struct{})}
}

// open listens and serves. Addresses with port 0 take the first address's port
// when they are not first themselves.
func (g *gate) open() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.lns) > 0 {
		return errors.New("already open")
	}
	for i, addr := range g.addrs {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			g.shutLocked()
			return err
		}
		if port == "0" && i > 0 {
			port = fmt.Sprint(g.lns[0].Addr().(*net.TCPAddr).Port)
		}
		ln, err := listenPatiently("tcp", net.JoinHostPort(host, port))
		if err != nil {
			g.shutLocked()
			return err
		}
		g.addrs[i] = ln.Addr().String()
		g.lns = append(g.lns, ln)
	}
	for _, ln := range g.lns {
		var served net.Listener = trackingListener{ln, g}
		if g.wrap != nil {
			served = g.wrap(served)
		}
		go (&http.Server{Handler: g.handler}).Serve(served)
	}
	return nil
}

// listenPatiently retries for a second: in a fresh network namespace an IPv6
// address can not be bound until duplicate address detection is over.
func listenPatiently(network, addr string) (net.Listener, error) {
	for try := 0; ; try++ {
		ln, err := net.Listen(network, addr)
		if err == nil || try == 20 {
			return ln, err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// close stops listening and cuts every connection.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shutLocked()
}

func (g *gate) shutLocked() {
	for _, ln := range g.lns {
		ln.Close()
	}
	g.lns = nil
	g.cutLocked()
}

// cut closes every connection and goes on listening. It returns how many.
func (g *gate) cut() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cutLocked()
}

func (g *gate) cutLocked() int {
	n := len(g.conns)
	for c := range g.conns {
		if tc, ok := c.(trackedConn); ok {
			tc.Conn.Close()
		}
	}
	clear(g.conns)
	return n
}

// state reports the addresses, whether it listens, and the live connections.
func (g *gate) state() gateState {
	g.mu.Lock()
	defer g.mu.Unlock()
	return gateState{Addrs: append([]string(nil), g.addrs...), Open: len(g.lns) > 0, Conns: len(g.conns)}
}

type gateState struct {
	Addrs []string `json:"addrs"`
	Open  bool     `json:"open"`
	Conns int      `json:"conns"`
}

type trackingListener struct {
	net.Listener
	g *gate
}

func (l trackingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	tc := trackedConn{c, l.g}
	l.g.mu.Lock()
	l.g.conns[tc] = struct{}{}
	l.g.mu.Unlock()
	return tc, nil
}

type trackedConn struct {
	net.Conn
	g *gate
}

func (c trackedConn) Close() error {
	c.g.mu.Lock()
	delete(c.g.conns, c)
	c.g.mu.Unlock()
	return c.Conn.Close()
}
