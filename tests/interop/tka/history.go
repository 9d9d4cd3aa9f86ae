package main

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"

	"tailscale.com/tka"
	"tailscale.com/types/tkatype"
)

// A history as tests/support/history.ts writes it, played with Tailscale's
// own package on both ends: the node does what ipnlocal's tkaSyncIfNeeded
// does, control what tstest/tkatest does.

// pools are the chains of the locks there may be, genesis first, in the order
// they are made. Sent once, as they are long.
var pools [][]tka.AUM

func (q *question) pool() any {
	aums, err := parseAUMs(q.AUMs)
	if err != nil {
		return map[string]any{"Error": err.Error()}
	}
	pools = append(pools, aums)
	return map[string]any{"AUMs": len(aums)}
}

type deed struct {
	Now       int64  `json:"now"`
	Do        string `json:"do"`
	Count     int    `json:"count"`
	Back      int    `json:"back"`
	Keys      []int  `json:"keys"`
	Manners   string `json:"manners"`
	While     string `json:"while"`
	After     int    `json:"after"`
	Forgetful bool   `json:"forgetful"`
}

// historyAnswer says how the node ended.
type historyAnswer struct {
	Synced bool
	// Open is true where the node lets everybody pass, as it has no authority.
	Open bool
	// OldLock is true where it stays under a lock that was disabled.
	OldLock bool
	Why     string
}

var errDied = errors.New("the process died here")

// mortalChonk dies once while it writes or purges.
type mortalChonk struct {
	*timedChonk
	while string
	after int
}

func (c *mortalChonk) dies(while string, n int) bool {
	if c.while != while || n <= c.after {
		return false
	}
	c.while = ""
	return true
}

func (c *mortalChonk) CommitVerifiedAUMs(updates []tka.AUM) error {
	if c.dies("writing", len(updates)) {
		c.timedChonk.CommitVerifiedAUMs(updates[:c.after])
		return errDied
	}
	return c.timedChonk.CommitVerifiedAUMs(updates)
}

func (c *mortalChonk) PurgeAUMs(hashes []tka.AUMHash) error {
	if c.dies("purging", len(hashes)) {
		// Upstream purges in the random order of a map; here in one that can be repeated.
		hashes = slices.Clone(hashes)
		slices.SortFunc(hashes, func(a, b tka.AUMHash) int { return bytes.Compare(a[:], b[:]) })
		c.timedChonk.PurgeAUMs(hashes[:c.after])
		return errDied
	}
	return c.timedChonk.PurgeAUMs(hashes)
}

// side is an authority with its store.
type side struct {
	store     *mortalChonk
	authority *tka.Authority
}

func newSide() *side { return &side{store: &mortalChonk{timedChonk: newTimedChonk()}} }

func sideOf(chain []tka.AUM) (*side, error) {
	s := newSide()
	var err error
	if s.authority, err = tka.Bootstrap(s.store, chain[0]); err != nil {
		return nil, err
	}
	if len(chain) > 1 {
		if err := s.store.CommitVerifiedAUMs(chain[1:]); err != nil {
			return nil, err
		}
		s.authority, err = tka.Open(s.store)
	}
	return s, err
}

type history struct {
	lock    int
	grown   int
	offPool bool
	control *side
	node    *side
	why     error
}

func (q *question) history() any {
	h := &history{}
	var err error
	if h.control, err = sideOf(pools[0][:1]); err != nil {
		return map[string]any{"Error": err.Error()}
	}
	if h.node, err = sideOf(pools[0][:1]); err != nil {
		return map[string]any{"Error": err.Error()}
	}
	for i := range q.Deeds {
		if err := h.take(&q.Deeds[i], i); err != nil {
			return map[string]any{"Error": fmt.Sprintf("deed %d %s: %v", i, q.Deeds[i].Do, err)}
		}
	}
	for range 4 {
		h.why = h.netmap(h.control, "honest")
	}
	r := historyAnswer{Open: h.node.authority == nil}
	r.Synced = !r.Open && h.node.authority.Head() == h.control.authority.Head()
	if !r.Open {
		id, _ := h.node.authority.StateIDs()
		r.OldLock = id != pools[h.lock][0].State.StateID1
	}
	if !r.Synced && h.why != nil {
		r.Why = h.why.Error()
	}
	return r
}

// take does what the script says. What goes wrong on the node is its own
// business; an error is one of the script or of control.
func (h *history) take(d *deed, i int) error {
	h.node.store.now, h.control.store.now = d.Now, d.Now
	switch d.Do {
	case "grow":
		return h.grow(d.Count, d.Now)
	case "sync":
		h.netmap(h.control, d.Manners)
	case "branch":
		shown, err := h.branch(d, i)
		if err != nil {
			return nil // a control of more than 2,000 AUMs cannot be opened: there is none to show
		}
		h.netmap(shown, "honest")
	case "restart":
		h.restart()
	case "die":
		h.node.store.while, h.node.store.after = d.While, d.After
		h.netmap(h.control, "honest")
		h.node.store.while = ""
		h.restart()
	case "anew":
		if h.lock+1 < len(pools) {
			h.lock++
			h.grown = 0
			h.offPool = false
			var err error
			h.control, err = sideOf(pools[h.lock][:1])
			return err
		}
	case "restore":
		path, err := h.path()
		if err != nil {
			return err
		}
		h.control, err = sideOf(path[:max(1, len(path)-d.Back)])
		h.offPool = true
		return err
	case "deny":
		// The node asks for a secret, gets none, and stays under its lock.
	}
	return nil
}

func (h *history) grow(count int, now int64) error {
	pool := pools[h.lock]
	if !h.offPool && h.control.authority.Head() == pool[h.grown].Hash() && h.grown+1 < len(pool) {
		end := min(h.grown+1+count, len(pool))
		err := h.control.authority.Inform(h.control.store, pool[h.grown+1:end])
		h.grown = end - 1
		return err
	}
	more := chainOn(h.control.authority.Head(), pool[0].State, count, []int{1}, fmt.Sprintf("more %d", now))
	return h.control.authority.Inform(h.control.store, more)
}

// branch is a control of the same lock that lost the last AUMs and has others.
func (h *history) branch(d *deed, i int) (*side, error) {
	path, err := h.path()
	if err != nil {
		return nil, err
	}
	path = path[:max(1, len(path)-d.Back)]
	from := path[len(path)-1].Hash()
	return sideOf(append(path, chainOn(from, pools[h.lock][0].State, d.Count, d.Keys, fmt.Sprintf("deed %d", i))...))
}

// path is control's active chain, genesis first.
func (h *history) path() ([]tka.AUM, error) {
	var path []tka.AUM
	for at := h.control.authority.Head(); ; {
		a, err := h.control.store.AUM(at)
		if err != nil {
			return nil, err
		}
		path = append(path, a)
		parent, ok := a.Parent()
		if !ok {
			break
		}
		at = parent
	}
	slices.Reverse(path)
	return path, nil
}

// chainOn is AUMs behind a parent, signed by the test keys of these numbers,
// with a checkpoint every 50.
func chainOn(parent tka.AUMHash, state *tka.State, count int, keys []int, salt string) []tka.AUM {
	var chain []tka.AUM
	for i := 1; i <= count; i++ {
		prev := parent
		a := tka.AUM{MessageKind: tka.AUMNoOp, PrevAUMHash: prev[:], Meta: map[string]string{salt: fmt.Sprint(i)}}
		if i%50 == 0 {
			s := state.Clone()
			a = tka.AUM{MessageKind: tka.AUMCheckpoint, PrevAUMHash: prev[:], State: &s}
		}
		hash := a.SigHash()
		for _, number := range keys {
			k := historyKey(number)
			a.Signatures = append(a.Signatures, tkatype.Signature{
				KeyID:     tkatype.KeyID(k.Public().(ed25519.PublicKey)),
				Signature: ed25519.Sign(k, hash[:]),
			})
		}
		chain = append(chain, a)
		parent = a.Hash()
	}
	return chain
}

// historyKey is the key of that number in tests/support/lock_keys.ts.
func historyKey(number int) ed25519.PrivateKey {
	seed := bytes.Repeat([]byte{byte(number + 1)}, ed25519.SeedSize)
	seed[1] = byte(number >> 8)
	return ed25519.NewKeyFromSeed(seed)
}

func (h *history) restart() {
	a, err := tka.Open(h.node.store)
	if err != nil {
		// Logged, and the node goes on without.
		h.node.authority = nil
		return
	}
	h.node.authority = a
}

// netmap is what a full netmap makes the node do.
func (h *history) netmap(control *side, manners string) error {
	if manners == "down" {
		return nil
	}
	n := h.node
	if n.authority == nil {
		a, err := tka.Bootstrap(n.store, pools[h.lock][0])
		if err != nil {
			return fmt.Errorf("bootstrap: %w", err)
		}
		n.authority = a
	}
	if n.authority.Head() == control.authority.Head() {
		return nil
	}
	if err := h.sync(control, manners); err != nil {
		return err
	}
	if err := n.authority.Compact(n.store, tka.CompactionDefaults); err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	return nil
}

func (h *history) sync(control *side, manners string) error {
	n := h.node
	offer, err := n.authority.SyncOffer(n.store)
	if err != nil {
		return fmt.Errorf("offer: %w", err)
	}
	theirs, err := control.authority.SyncOffer(control.store)
	if err != nil {
		return fmt.Errorf("control's offer: %w", err)
	}
	received, err := control.authority.MissingAUMs(control.store, offer)
	if err != nil {
		return fmt.Errorf("control's missing: %w", err)
	}
	received = spoil(received, manners)
	send, err := n.authority.MissingAUMs(n.store, theirs)
	if err != nil {
		return fmt.Errorf("missing: %w", err)
	}
	if len(received) > 0 {
		if err := n.authority.Inform(n.store, received); err != nil {
			return fmt.Errorf("inform: %w", err)
		}
	}
	if len(send) > 0 {
		if err := control.authority.Inform(control.store, send); err != nil {
			return fmt.Errorf("control's inform: %w", err)
		}
	}
	return nil
}

func spoil(aums []tka.AUM, manners string) []tka.AUM {
	switch manners {
	case "withholds":
		return nil
	case "reorders":
		aums = slices.Clone(aums)
		slices.Reverse(aums)
	case "repeats":
		var twice []tka.AUM
		for _, a := range aums {
			twice = append(twice, a, a)
		}
		return twice
	case "forges":
		if len(aums) > 0 {
			aums = slices.Clone(aums)
			aums[len(aums)/2].Meta = map[string]string{"forged": "1"}
		}
	case "pages":
		for i, n := 0, 0; i < len(aums); i++ {
			n += len(aums[i].Serialize())*4/3 + 3
			if n > 4000 && i > 0 {
				return aums[:i]
			}
		}
	}
	return aums
}
