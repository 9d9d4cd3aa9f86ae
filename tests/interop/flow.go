package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// flow is one long-lived TCP connection to an echo, at a steady pace, every byte
// that returns compared: for a tsnet node what Flow of traffic_program.ts is for
// a kernel.
type flow struct {
	conn   net.Conn
	start  time.Time
	ending atomic.Bool
	over   chan struct{} // closed when both halves have ended

	mu      sync.Mutex
	sent    int64
	got     int64
	heard   time.Time
	longest time.Duration
	err     error
}

// flowState is a flow now. LongestStallMs is since this was last asked.
type flowState struct {
	Sent           int64  `json:"sent"`
	Received       int64  `json:"received"`
	Ms             int64  `json:"ms"`
	LongestStallMs int64  `json:"longestStallMs"`
	Error          string `json:"error,omitempty"`
}

// flowOrder opens a connection to an echo and keeps Rate bytes a second going.
type flowOrder struct {
	Addr string `json:"addr"`
	Seed uint32 `json:"seed"`
	Rate int    `json:"rate"`
}

// flowRef names a flow by its number.
type flowRef struct {
	Flow int `json:"flow"`
}

func (t *traffic) flow(ctx context.Context, in flowOrder) (int, error) {
	c, err := t.srv.Dial(ctx, "tcp", in.Addr)
	if err != nil {
		return 0, err
	}
	now := time.Now()
	f := &flow{conn: c, start: now, heard: now, over: make(chan struct{})}
	halves := make(chan error, 2)
	go func() { halves <- f.write(in) }()
	go func() { halves <- f.read(in) }()
	go func() {
		for range 2 {
			if err := <-halves; err != nil {
				f.fail(err)
				c.Close()
			}
		}
		c.Close()
		close(f.over)
	}()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flows = append(t.flows, f)
	return len(t.flows) - 1, nil
}

func (t *traffic) flowByID(id int) (*flow, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if id < 0 || id >= len(t.flows) {
		return nil, fmt.Errorf("no flow %d", id)
	}
	return t.flows[id], nil
}

func (f *flow) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

func (f *flow) write(in flowOrder) error {
	const tick = 5 * time.Millisecond
	stream := newSeeded(in.Seed)
	part := make([]byte, in.Rate/200)
	due := time.Now()
	for !f.ending.Load() {
		stream.Read(part)
		n, err := f.conn.Write(part)
		f.mu.Lock()
		f.sent += int64(n)
		f.mu.Unlock()
		if err != nil {
			return err
		}
		// After a stall it goes on at the same pace; a second at most is made up for.
		due = due.Add(tick)
		if late := time.Now().Add(-time.Second); due.Before(late) {
			due = late
		}
		time.Sleep(time.Until(due))
	}
	return closeWrite(f.conn)
}

func (f *flow) read(in flowOrder) error {
	stream := newSeeded(in.Seed)
	buf, want := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := f.conn.Read(buf)
		stream.Read(want[:n])
		if !bytes.Equal(buf[:n], want[:n]) {
			return errors.New("bytes came back changed")
		}
		f.mu.Lock()
		f.got += int64(n)
		if n > 0 {
			now := time.Now()
			f.longest = max(f.longest, now.Sub(f.heard))
			f.heard = now
		}
		sent, got := f.sent, f.got
		f.mu.Unlock()
		if err == io.EOF && f.ending.Load() && sent == got {
			return nil
		}
		if err == io.EOF {
			return fmt.Errorf("the connection ended after %d of %d bytes", got, sent)
		}
		if err != nil {
			return err
		}
	}
}

func (f *flow) state() *flowState {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	st := &flowState{
		Sent: f.sent, Received: f.got, Ms: now.Sub(f.start).Milliseconds(),
		LongestStallMs: max(f.longest, now.Sub(f.heard)).Milliseconds(),
	}
	f.longest = 0
	if f.err != nil {
		st.Error = f.err.Error()
	}
	return st
}

// end half-closes and waits for the last byte.
func (f *flow) end(ctx context.Context) (*flowState, error) {
	f.ending.Store(true)
	select {
	case <-f.over:
	case <-ctx.Done():
		f.conn.Close()
		return f.state(), ctx.Err()
	}
	return f.state(), nil
}
