package main

import (
	"os"
	"time"

	"tailscale.com/tka"
	"tailscale.com/types/tkatype"
)

// benchAnswer is how long each job took, in microseconds: the same jobs that
// tools/bench_tka.ts does with our implementation.
type benchAnswer struct {
	Decode, Inform, Open, Verify, CatchUp, OpenDisk int64
	Head                                            string
	Authorized                                      int
}

// bench decodes and hashes AUMs (the genesis first), applies them one list at
// a time, opens the store they are in, and verifies the signatures of the node
// keys in Nodes.
func (q *question) bench() any {
	var r benchAnswer
	start := time.Now()
	lap := func() int64 {
		d := time.Since(start).Microseconds()
		start = time.Now()
		return d
	}
	aums := make([]tka.AUM, len(q.AUMs))
	for i, b := range q.AUMs {
		if err := aums[i].Unserialize(tkatype.MarshaledAUM(b)); err != nil {
			return map[string]any{"Error": err.Error()}
		}
		_ = aums[i].Hash()
	}
	r.Decode = lap()
	store := tka.ChonkMem()
	a, err := tka.Bootstrap(store, aums[0])
	if err == nil {
		err = a.Inform(store, aums[1:])
	}
	if err != nil {
		return map[string]any{"Error": err.Error()}
	}
	r.Inform = lap()
	if a, err = tka.Open(store); err != nil {
		return map[string]any{"Error": err.Error()}
	}
	r.Open = lap()
	for i, sig := range q.Sigs {
		if a.NodeKeyAuthorized(nodePublic(q.Nodes[i]), tkatype.MarshaledSignature(sig)) == nil {
			r.Authorized++
		}
	}
	r.Verify = lap()
	r.Head = a.Head().String()
	if err := r.disk(aums); err != nil {
		return map[string]any{"Error": err.Error()}
	}
	return r
}

// disk applies the last 1,000 AUMs to a store on disk that has those before
// them, and opens the whole.
func (r *benchAnswer) disk(aums []tka.AUM) error {
	dir, err := os.MkdirTemp("", "tka-oracle-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	store, err := tka.ChonkDir(dir)
	if err != nil {
		return err
	}
	a, err := tka.Bootstrap(store, aums[0])
	if err != nil {
		return err
	}
	there := max(1, len(aums)-1000)
	if there > 1 {
		if err := a.Inform(store, aums[1:there]); err != nil {
			return err
		}
	}
	start := time.Now()
	if err := a.Inform(store, aums[there:]); err != nil {
		return err
	}
	r.CatchUp = time.Since(start).Microseconds()
	start = time.Now()
	if store, err = tka.ChonkDir(dir); err != nil {
		return err
	}
	if _, err = tka.Open(store); err != nil {
		return err
	}
	r.OpenDisk = time.Since(start).Microseconds()
	return nil
}
