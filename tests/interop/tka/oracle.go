package main

import (
	"bufio"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/hdevalence/ed25519consensus"
	"tailscale.com/tka"
	"tailscale.com/types/key"
	"tailscale.com/types/tkatype"
)

// serve answers one JSON line with one JSON line until standard input
// ends. Every answer is what tailscale.com/tka does with the question, so that
// our own implementation can be asked the same and the answers compared.
func serve() error {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	defer out.Flush()
	enc := json.NewEncoder(out)
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var q question
		if err := json.Unmarshal(line, &q); err != nil {
			return fmt.Errorf("question: %w", err)
		}
		if err := enc.Encode(q.answer()); err != nil {
			return err
		}
		if in.Buffered() == 0 {
			if err := out.Flush(); err != nil {
				return err
			}
		}
	}
}

// hexBytes is a byte string written as hex in JSON.
type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

func (h *hexBytes) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	*h = b
	return err
}

// question is one line; which fields matter depends on Op.
type question struct {
	Op     string
	AUMs   []hexBytes
	Sigs   []hexBytes
	Steps  []step
	Secret hexBytes
	Text   string
	Pub    hexBytes
	Priv   hexBytes
	Msg    hexBytes
	Sig    hexBytes
	Node   hexBytes
	Nodes  []hexBytes
	Files  map[string]hexBytes
	Purge  []string
	Deeds  []deed
}

func (q *question) answer() any {
	switch q.Op {
	case "decode":
		return decodeAll(q)
	case "world":
		return runWorld(q.Steps)
	case "disk":
		return q.disk()
	case "pool":
		return q.pool()
	case "history":
		return q.history()
	case "bench":
		return q.bench()
	case "kdf":
		return map[string]any{"Value": hexBytes(tka.DisablementKDF(q.Secret))}
	case "verify":
		return map[string]any{
			"ZIP215": ed25519consensus.Verify(ed25519.PublicKey(q.Pub), q.Msg, q.Sig),
			"Std":    len(q.Pub) == ed25519.PublicKeySize && ed25519.Verify(ed25519.PublicKey(q.Pub), q.Msg, q.Sig),
		}
	case "wrapped":
		authKey, isWrapped, sig, priv := tka.DecodeWrappedAuthkey(q.Text, func(string, ...any) {})
		r := map[string]any{"AuthKey": authKey, "Wrapped": isWrapped, "Priv": hexBytes(priv)}
		if sig != nil {
			r["Sig"] = hexBytes(sig.Serialize())
		}
		return r
	case "resign":
		sig, err := tka.ResignNKS(lockPrivate(q.Priv), nodePublic(q.Node), tkatype.MarshaledSignature(q.Sig))
		return map[string]any{"OK": err == nil, "Sig": hexBytes(sig)}
	case "sign-by-credential":
		var nks tka.NodeKeySignature
		if err := nks.Unserialize([]byte(q.Sig)); err != nil {
			return map[string]any{"OK": false}
		}
		sig, err := tka.SignByCredential(ed25519.NewKeyFromSeed(q.Priv), &nks, nodePublic(q.Node))
		return map[string]any{"OK": err == nil, "Sig": hexBytes(sig)}
	}
	return map[string]any{"Error": "unknown op " + q.Op}
}

type decodedAUM struct {
	OK      bool
	Bytes   hexBytes `json:",omitempty"`
	Hash    string   `json:",omitempty"`
	SigHash hexBytes `json:",omitempty"`
	Valid   bool
	Parent  string `json:",omitempty"`
	Error   string `json:",omitempty"`
}

type decodedSig struct {
	OK      bool
	Bytes   hexBytes `json:",omitempty"`
	SigHash hexBytes `json:",omitempty"`
	Text    string   `json:",omitempty"`
	Error   string   `json:",omitempty"`
}

func decodeAll(q *question) any {
	aums := make([]decodedAUM, len(q.AUMs))
	for i, b := range q.AUMs {
		aums[i] = decodeAUM(b)
	}
	sigs := make([]decodedSig, len(q.Sigs))
	for i, b := range q.Sigs {
		sigs[i] = decodeSig(b)
	}
	return map[string]any{"AUMs": aums, "Sigs": sigs}
}

func decodeAUM(b []byte) (d decodedAUM) {
	var a tka.AUM
	if err := a.Unserialize(b); err != nil {
		return decodedAUM{Error: err.Error()}
	}
	sigHash := a.SigHash()
	d = decodedAUM{OK: true, Bytes: hexBytes(a.Serialize()), Hash: a.Hash().String(), SigHash: sigHash[:]}
	if parent, ok := a.Parent(); ok {
		d.Parent = parent.String()
	}
	if err := a.StaticValidate(); err != nil {
		d.Error = err.Error()
	} else {
		d.Valid = true
	}
	return d
}

func decodeSig(b []byte) decodedSig {
	var s tka.NodeKeySignature
	if err := s.Unserialize(b); err != nil {
		return decodedSig{Error: err.Error()}
	}
	sigHash := s.SigHash()
	return decodedSig{OK: true, Bytes: hexBytes(s.Serialize()), SigHash: sigHash[:], Text: s.String()}
}

func lockPrivate(seed []byte) key.NLPrivate {
	var k key.NLPrivate
	full := ed25519.NewKeyFromSeed(seed)
	if err := k.UnmarshalText([]byte("nlpriv:" + hex.EncodeToString(full))); err != nil {
		panic(err)
	}
	return k
}

func nodePublic(raw []byte) key.NodePublic {
	var k key.NodePublic
	if err := k.UnmarshalText([]byte("nodekey:" + hex.EncodeToString(raw))); err != nil {
		panic(err)
	}
	return k
}

// step is one thing that happens to one of the nodes of a world.
type step struct {
	Do        string
	Node      int
	AUMs      []hexBytes
	Head      string   // of a remote offer
	Ancestors []string // of a remote offer
	Key       hexBytes // a node key; or our key ID
	Sig       hexBytes
	Remove    []hexBytes
	Fork      string
	Now       int64 // seconds, on the world's own clock
	MinChain  int
	MinAge    int64 // seconds
	Priv      hexBytes
	Edits     []edit
	Text      string
}

// edit is one call of an UpdateBuilder.
type edit struct {
	Do    string
	Key   hexBytes // public key or key ID
	Votes uint
	Meta  map[string]string
}

// result is where a node is after a step, and what the step returned.
type result struct {
	OK        bool
	Error     string     `json:",omitempty"`
	Head      string     `json:",omitempty"`
	Oldest    string     `json:",omitempty"`
	State     string     `json:",omitempty"` // hash of a checkpoint of the state, forked from the head; "no trusted keys" for such a state
	AUMs      []hexBytes `json:",omitempty"`
	Hashes    []string   `json:",omitempty"`
	Ancestors []string   `json:",omitempty"`
	PrevKeys  []hexBytes `json:",omitempty"`
	Text      string     `json:",omitempty"`
}

type node struct {
	store     *timedChonk
	authority *tka.Authority
}

func runWorld(steps []step) any {
	nodes := map[int]*node{}
	results := make([]result, len(steps))
	for i := range steps {
		n := nodes[steps[i].Node]
		if n == nil {
			n = &node{store: newTimedChonk()}
			nodes[steps[i].Node] = n
		}
		results[i] = n.take(&steps[i])
	}
	return map[string]any{"Steps": results}
}

func (n *node) take(s *step) (r result) {
	n.store.now = s.Now
	defer func() {
		if p := recover(); p != nil {
			r = result{Error: fmt.Sprintf("panic: %v", p)}
		}
	}()
	err := n.do(s, &r)
	if err != nil {
		r = result{Error: err.Error()}
	}
	r.OK = err == nil
	if n.authority != nil {
		r.Head = n.authority.Head().String()
		// No accessor gives the state whole; an unsigned revocation of nobody holds a copy of it.
		a, err := n.authority.MakeRetroactiveRevocation(n.store, nil, nil, n.authority.Head())
		if a != nil {
			r.State = a.Hash().String()
		} else if err != nil && err.Error() == "cannot revoke all trusted keys" {
			r.State = "no trusted keys"
		}
		if offer, err := n.authority.SyncOffer(n.store); err == nil {
			r.Oldest = offer.Ancestors[len(offer.Ancestors)-1].String()
		}
	}
	return r
}

var errNoLock = errors.New("the node has no lock")

func (n *node) do(s *step, r *result) error {
	aums, err := parseAUMs(s.AUMs)
	if err != nil {
		return err
	}
	switch s.Do {
	case "bootstrap":
		a, err := tka.Bootstrap(n.store, aums[0])
		if err == nil {
			n.authority = a
		}
		return err
	case "open":
		a, err := tka.Open(n.store)
		if err == nil {
			n.authority = a
		}
		return err
	case "store": // what a process that died between two writes, or a bad disk, left
		return n.store.CommitVerifiedAUMs(aums)
	case "wipe":
		n.authority = nil
		return n.store.RemoveAll()
	}
	if n.authority == nil {
		return errNoLock
	}
	switch s.Do {
	case "inform":
		return n.authority.Inform(n.store, aums)
	case "offer":
		offer, err := n.authority.SyncOffer(n.store)
		for _, h := range offer.Ancestors {
			r.Ancestors = append(r.Ancestors, h.String())
		}
		return err
	case "missing":
		offer, err := tka.ToSyncOffer(s.Head, s.Ancestors)
		if err != nil {
			return err
		}
		missing, err := n.authority.MissingAUMs(n.store, offer)
		for _, a := range missing {
			r.Hashes = append(r.Hashes, a.Hash().String())
		}
		return err
	case "authorized":
		details, err := n.authority.NodeKeyAuthorizedWithDetails(nodePublic(s.Key), tkatype.MarshaledSignature(s.Sig))
		if details != nil {
			for _, k := range details.PrevNodeKeys {
				raw := k.Raw32()
				r.PrevKeys = append(r.PrevKeys, raw[:])
			}
		}
		return err
	case "compact":
		n.store.dieBefore = s.Text
		defer func() { n.store.dieBefore = "" }()
		options := tka.CompactionOptions{MinChain: s.MinChain, MinAge: seconds(s.MinAge)}
		if err := n.authority.Compact(n.store, options); err != nil {
			return err
		}
		return n.listAUMs(r)
	case "revoke":
		var fork tka.AUMHash
		if s.Fork != "" {
			if err := fork.UnmarshalText([]byte(s.Fork)); err != nil {
				return err
			}
		}
		remove := make([]tkatype.KeyID, len(s.Remove))
		for i := range s.Remove {
			remove[i] = tkatype.KeyID(s.Remove[i])
		}
		a, err := n.authority.MakeRetroactiveRevocation(n.store, remove, tkatype.KeyID(s.Key), fork)
		if err != nil {
			return err
		}
		r.AUMs = append(r.AUMs, hexBytes(a.Serialize()))
		return nil
	case "build":
		return n.build(s, r)
	case "deeplink":
		f := strings.Split(s.Text, "\n")
		link, err := n.authority.NewDeeplink(tka.NewDeeplinkParams{
			NodeKey: f[0], TLPub: f[1], DeviceName: f[2], OSName: f[3], LoginName: f[4],
		})
		r.Text = link
		return err
	case "check-deeplink":
		if v := n.authority.ValidateDeeplink(s.Text); !v.IsValid {
			return errors.New(v.Error)
		}
		return nil
	}
	return fmt.Errorf("unknown step %q", s.Do)
}

func (n *node) build(s *step, r *result) error {
	b := n.authority.NewUpdater(lockPrivate(s.Priv))
	for _, e := range s.Edits {
		var err error
		switch e.Do {
		case "add":
			err = b.AddKey(tka.Key{Kind: tka.Key25519, Votes: e.Votes, Public: e.Key, Meta: e.Meta})
		case "remove":
			err = b.RemoveKey(tkatype.KeyID(e.Key))
		case "votes":
			err = b.SetKeyVote(tkatype.KeyID(e.Key), e.Votes)
		case "meta":
			err = b.SetKeyMeta(tkatype.KeyID(e.Key), e.Meta)
		}
		if err != nil {
			return err
		}
	}
	updates, err := b.Finalize(n.store)
	for i := range updates {
		r.AUMs = append(r.AUMs, hexBytes(updates[i].Serialize()))
	}
	return err
}

func (n *node) listAUMs(r *result) error {
	all, err := n.store.AllAUMs()
	for _, h := range all {
		r.Hashes = append(r.Hashes, h.String())
	}
	slices.Sort(r.Hashes)
	return err
}

func parseAUMs(list []hexBytes) ([]tka.AUM, error) {
	aums := make([]tka.AUM, len(list))
	for i, b := range list {
		if err := aums[i].Unserialize(tkatype.MarshaledAUM(b)); err != nil {
			return nil, err
		}
	}
	return aums, nil
}
