package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"tailscale.com/tsnet"
)

func bytesReader(b []byte) io.Reader { return bytes.NewReader(b) }

// traffic serves and makes connections over the tailnet. Every TCP connection,
// served or dialed, ends as one transfer in its journal.
type traffic struct {
	srv *tsnet.Server

	mu        sync.Mutex
	changed   *sync.Cond
	listening map[string]io.Closer // "tcp :80"
	transfers []transfer
	udp       map[string]*udpCount
	flows     []*flow
}

// transfer is what went both ways on one TCP connection.
type transfer struct {
	ID             int    `json:"id"`
	Kind           string `json:"kind"` // echo, sink, source, duplex, dial
	Local          string `json:"local"`
	Remote         string `json:"remote"`
	Sent           int64  `json:"sent"`
	SentSHA256     string `json:"sentSha256"`
	Received       int64  `json:"received"`
	ReceivedSHA256 string `json:"receivedSha256"`
	Ms             int64  `json:"ms"`
	Error          string `json:"error,omitempty"`
}

type udpCount struct {
	Received int64 `json:"received"`
	Bytes    int64 `json:"bytes"`
}

func newTraffic(srv *tsnet.Server) *traffic {
	t := &traffic{srv: srv, listening: make(map[string]io.Closer), udp: make(map[string]*udpCount)}
	t.changed = sync.NewCond(&t.mu)
	return t
}

// listenOrder opens a port on the tailnet.
//
//	echo    writes back what it reads, to the end
//	sink    reads to the end, then answers one JSON line {"bytes", "sha256"}
//	source  writes Bytes seeded bytes and closes
//	duplex  source and sink at once, without the answer line
//	http    serves Body at every path
//	udpecho answers each datagram with itself
type listenOrder struct {
	Kind  string `json:"kind"`
	Port  int    `json:"port"`
	Seed  uint32 `json:"seed"`
	Bytes int64  `json:"bytes"`
	Body  string `json:"body"`
}

func (t *traffic) routes(a *admin) {
	handle(a, "POST /listen", func(_ context.Context, in listenOrder) (any, error) { return t.listen(in) })
	handle(a, "POST /unlisten", func(_ context.Context, in listenOrder) (done, error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		for _, network := range []string{"tcp", "udp"} {
			k := fmt.Sprintf("%s :%d", network, in.Port)
			if ln := t.listening[k]; ln != nil {
				ln.Close()
				delete(t.listening, k)
			}
		}
		return done{}, nil
	})
	// Waits until the journal holds Count transfers of Kind ("" is any).
	handle(a, "POST /transfers", func(ctx context.Context, in struct {
		Kind      string `json:"kind"`
		Count     int    `json:"count"`
		TimeoutMs int    `json:"timeoutMs"`
	}) ([]transfer, error) {
		return t.await(ctx, in.Kind, in.Count, timeout(in.TimeoutMs, 30*time.Second))
	})
	handle(a, "POST /dial", t.dial)
	handle(a, "POST /udp", t.udpExchange)
	handle(a, "POST /flow", func(ctx context.Context, in flowOrder) (map[string]int, error) {
		id, err := t.flow(ctx, in)
		return map[string]int{"flow": id}, err
	})
	handle(a, "POST /flow/state", func(_ context.Context, in flowRef) (*flowState, error) {
		f, err := t.flowByID(in.Flow)
		if err != nil {
			return nil, err
		}
		return f.state(), nil
	})
	handle(a, "POST /flow/end", func(ctx context.Context, in flowRef) (*flowState, error) {
		f, err := t.flowByID(in.Flow)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		return f.end(ctx)
	})
	handle(a, "GET /udp", func(context.Context, done) (any, error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		out := make(map[string]udpCount)
		for k, c := range t.udp {
			out[k] = *c
		}
		return out, nil
	})
}

func (t *traffic) note(tr transfer) transfer {
	t.mu.Lock()
	defer t.mu.Unlock()
	tr.ID = len(t.transfers) + 1
	t.transfers = append(t.transfers, tr)
	t.changed.Broadcast()
	return tr
}

func (t *traffic) await(ctx context.Context, kind string, count int, d time.Duration) ([]transfer, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.changed.Broadcast()
	})()
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		found := []transfer{}
		for _, tr := range t.transfers {
			if kind == "" || tr.Kind == kind {
				found = append(found, tr)
			}
		}
		if len(found) >= count {
			return found, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%d transfers of kind %q after %v, want %d", len(found), kind, d, count)
		}
		t.changed.Wait()
	}
}

func (t *traffic) listen(in listenOrder) (any, error) {
	network := "tcp"
	if in.Kind == "udpecho" {
		network = "udp"
	}
	k := fmt.Sprintf("%s :%d", network, in.Port)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.listening[k] != nil {
		return nil, fmt.Errorf("%s is in use", k)
	}
	if network == "udp" {
		return t.listenUDPLocked(k, in.Port)
	}
	serve := map[string]func(net.Conn, listenOrder) transfer{
		"echo": serveEcho, "sink": serveSink, "source": serveSource, "duplex": serveDuplex,
	}[in.Kind]
	if serve == nil && in.Kind != "http" {
		return nil, fmt.Errorf("unknown kind %q", in.Kind)
	}
	ln, err := t.srv.Listen("tcp", fmt.Sprintf(":%d", in.Port))
	if err != nil {
		return nil, err
	}
	t.listening[k] = ln
	if in.Kind == "http" {
		go http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, in.Body) }))
		return map[string]string{"listening": k}, nil
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				start := time.Now()
				tr := serve(c, in)
				tr.Kind, tr.Local, tr.Remote = in.Kind, c.LocalAddr().String(), c.RemoteAddr().String()
				tr.Ms = time.Since(start).Milliseconds()
				t.note(tr)
			}()
		}
	}()
	return map[string]string{"listening": k}, nil
}

func closeWrite(c net.Conn) error {
	if cw, ok := c.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return c.Close()
}

func result(sent, received *tally, errs ...error) transfer {
	var tr transfer
	if sent != nil {
		tr.Sent, tr.SentSHA256 = sent.n, sent.sum()
	}
	if received != nil {
		tr.Received, tr.ReceivedSHA256 = received.n, received.sum()
	}
	if err := errors.Join(errs...); err != nil {
		tr.Error = err.Error()
	}
	return tr
}

func serveEcho(c net.Conn, _ listenOrder) transfer {
	sent, received := newTally(), newTally()
	_, err := io.Copy(io.MultiWriter(c, sent), io.TeeReader(c, received))
	closeWrite(c)
	return result(sent, received, err)
}

func serveSink(c net.Conn, _ listenOrder) transfer {
	received, err := receive(c, -1)
	sent := newTally()
	if err == nil {
		b, _ := json.Marshal(map[string]any{"bytes": received.n, "sha256": received.sum()})
		_, err = io.MultiWriter(c, sent).Write(append(b, '\n'))
		closeWrite(c)
	}
	return result(sent, received, err)
}

func serveSource(c net.Conn, in listenOrder) transfer {
	sent, err := send(c, in.Seed, in.Bytes)
	closeWrite(c)
	received, _ := receive(c, -1) // until the other side has read it all and closed
	return result(sent, received, err)
}

func serveDuplex(c net.Conn, in listenOrder) transfer {
	return bothWays(c, in.Seed, in.Bytes, -1)
}

// bothWays sends n seeded bytes and half-closes, and reads want bytes (to the
// end when negative) meanwhile.
func bothWays(c net.Conn, seed uint32, n, want int64) transfer {
	type half struct {
		t   *tally
		err error
	}
	out := make(chan half, 1)
	go func() {
		sent, err := send(c, seed, n)
		if err == nil {
			err = closeWrite(c)
		}
		out <- half{sent, err}
	}()
	received, rerr := receive(c, want)
	o := <-out
	return result(o.t, received, o.err, rerr)
}

// dialOrder connects to Addr, sends Send seeded bytes and half-closes, and reads
// Receive bytes (to the end when negative) at the same time.
type dialOrder struct {
	Addr      string `json:"addr"`
	Send      int64  `json:"send"`
	Receive   int64  `json:"receive"`
	Seed      uint32 `json:"seed"`
	TimeoutMs int    `json:"timeoutMs"`
}

func (t *traffic) dial(ctx context.Context, in dialOrder) (transfer, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout(in.TimeoutMs, time.Minute))
	defer cancel()
	start := time.Now()
	c, err := t.srv.Dial(ctx, "tcp", in.Addr)
	if err != nil {
		return transfer{}, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	tr := bothWays(c, in.Seed, in.Send, in.Receive)
	tr.Kind, tr.Local, tr.Remote = "dial", c.LocalAddr().String(), c.RemoteAddr().String()
	tr.Ms = time.Since(start).Milliseconds()
	return t.note(tr), nil
}

func (t *traffic) listenUDPLocked(k string, port int) (any, error) {
	ip4, ip6 := t.srv.TailscaleIPs()
	count := &udpCount{}
	t.udp[k] = count
	var pcs closers
	for _, ip := range []string{ip4.String(), ip6.String()} {
		pc, err := t.srv.ListenPacket("udp", net.JoinHostPort(ip, fmt.Sprint(port)))
		if err != nil {
			pcs.Close()
			return nil, err
		}
		pcs = append(pcs, pc)
		go func() {
			buf := make([]byte, 64<<10)
			for {
				n, from, err := pc.ReadFrom(buf)
				if err != nil {
					return
				}
				t.mu.Lock()
				count.Received++
				count.Bytes += int64(n)
				t.mu.Unlock()
				pc.WriteTo(buf[:n], from)
			}
		}()
	}
	t.listening[k] = pcs
	return map[string]string{"listening": k}, nil
}

type closers []io.Closer

func (cs closers) Close() error {
	for _, c := range cs {
		c.Close()
	}
	return nil
}

// udpOrder sends Count datagrams of Size bytes to an echo at Addr.
type udpOrder struct {
	Addr       string `json:"addr"`
	Count      int    `json:"count"`
	Size       int    `json:"size"`
	IntervalMs int    `json:"intervalMs"`
	WaitMs     int    `json:"waitMs"` // for the last answers, default 1000
}

type udpResult struct {
	Sent     int     `json:"sent"`
	Received int     `json:"received"` // distinct and intact
	Repeated int     `json:"repeated"`
	Damaged  int     `json:"damaged"`
	Loss     float64 `json:"loss"` // 0 to 1
}

// udpExchange numbers its datagrams in the first four bytes; the rest of each is
// the stream seeded with that number.
func (t *traffic) udpExchange(ctx context.Context, in udpOrder) (*udpResult, error) {
	if in.Size < 4 {
		return nil, fmt.Errorf("size is %d, want at least 4", in.Size)
	}
	c, err := t.srv.Dial(ctx, "udp", in.Addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	datagram := func(i int) []byte {
		b := make([]byte, in.Size)
		b[0], b[1], b[2], b[3] = byte(i), byte(i>>8), byte(i>>16), byte(i>>24)
		newSeeded(uint32(i) + 1).Read(b[4:])
		return b
	}
	res := &udpResult{}
	seen := make(map[int]bool)
	over := make(chan struct{})
	go func() {
		defer close(over)
		buf := make([]byte, 64<<10)
		for len(seen) < in.Count {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			if n != in.Size {
				res.Damaged++
				continue
			}
			i := int(buf[0]) | int(buf[1])<<8 | int(buf[2])<<16 | int(buf[3])<<24
			switch {
			case !bytes.Equal(buf[:n], datagram(i)):
				res.Damaged++
			case seen[i]:
				res.Repeated++
			default:
				seen[i] = true
			}
		}
	}()
	for i := range in.Count {
		if ctx.Err() != nil {
			break
		}
		if _, err := c.Write(datagram(i)); err == nil {
			res.Sent++
		}
		time.Sleep(time.Duration(in.IntervalMs) * time.Millisecond)
	}
	select {
	case <-over:
	case <-time.After(timeout(in.WaitMs, time.Second)):
	}
	c.Close()
	<-over
	res.Received = len(seen)
	if res.Sent > 0 {
		res.Loss = 1 - float64(res.Received)/float64(res.Sent)
	}
	return res, nil
}
